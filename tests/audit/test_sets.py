"""Sets of prompts: what recurs, what chance explains, what is passed over, and going on."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray
from interplay.audit.findings import _holm
from interplay.audit.pooled import pooled_score
from interplay.audit.prompts import GivenGame, Records
from interplay.audit.sets import default_budget

NAMES = ["evidence", "note", "heading"]
SETTINGS: dict[str, Any] = {"progress": False}


def value(flawed: bool, masks: BoolArray) -> FloatArray:
    return np.asarray(masks[:, 0] * (1 - 0.6 * flawed * masks[:, 1]) + 0.2 * masks[:, 2])


def games(n_prompts: int = 30, calls: list[int] | None = None) -> Iterator[ip.Game]:
    for number in range(n_prompts):

        def scored(masks: BoolArray, number: int = number) -> FloatArray:
            if calls is not None:
                calls.append(number)
            return value(number % 3 == 0, masks)

        yield ip.FunctionGame(scored, 3, players=NAMES, fingerprint=f"game {number}")


def test_a_flaw_in_a_third_is_the_first_finding_and_its_share_is_covered() -> None:
    audit = ip.audit_prompts(games(), **SETTINGS)
    first = audit.findings[0]
    assert (first.roles, first.sign) == (("evidence", "note"), -1)
    assert (first.share.shown, first.share.of) == (10, 30)
    low, high = first.share.interval
    assert low <= 1 / 3 <= high
    assert first.mean == pytest.approx(-0.2)
    assert first.low <= -0.2 <= first.high
    assert all(number % 3 == 0 for number, _ in first.strongest)
    assert "10 of 30 prompts" in str(audit)
    assert audit.pooled.r2 is None
    assert audit.pooled.n_exact == 30


def test_a_second_call_evaluates_nothing_and_says_the_same(tmp_path: Path) -> None:
    calls: list[int] = []
    first = ip.audit_prompts(games(6, calls), folder=tmp_path, **SETTINGS)
    n_calls = len(calls)
    again = ip.audit_prompts(games(6, calls), folder=tmp_path, **SETTINGS)
    assert len(calls) == n_calls
    assert (first.n_evaluated, again.n_evaluated) == (6, 0)
    assert again.results == first.results
    other = ip.audit_prompts(games(6, calls), folder=tmp_path, random_state=1, **SETTINGS)
    assert other.n_evaluated == 6  # by other settings; the values are stored all the same
    assert len(calls) == n_calls


def test_an_interrupted_audit_goes_on_where_it_was(tmp_path: Path) -> None:
    def interrupted() -> Iterator[ip.Game]:
        for number, game in enumerate(games(6)):
            if number == 4:

                def stop(masks: BoolArray) -> FloatArray:
                    raise KeyboardInterrupt

                game = ip.FunctionGame(stop, 3, players=NAMES)
            yield game

    part = ip.audit_prompts(interrupted(), folder=tmp_path, **SETTINGS)
    assert part.interrupted
    assert len(part.prompts) == 4
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(b'{"key": "half a li')  # as a kill leaves it
    whole = ip.audit_prompts(games(6), folder=tmp_path, **SETTINGS)
    assert (len(whole.prompts), whole.n_evaluated, whole.interrupted) == (6, 2, False)
    assert whole.results == ip.audit_prompts(games(6), **SETTINGS).results


def test_prompts_that_fail_are_named_and_the_rest_is_done() -> None:
    def broken(masks: BoolArray) -> FloatArray:
        raise RuntimeError("the server refused it")

    class TooLong:
        title, line, columns = "a novel", 17, {"kind": "long"}

        def game(self) -> ip.Game:
            raise ValueError("the prompt has 9000 tokens; the model takes 8192")

        def roles(self, game: ip.Game) -> list[list[str]]:
            return []

    prompts = [*games(3), ip.FunctionGame(broken, 3), TooLong()]
    audit = ip.audit_prompts(prompts, **SETTINGS)
    assert len(audit.prompts) == 3
    assert [refused.number for refused in audit.refused] == [3, 4]
    assert "line 17: the prompt has 9000 tokens" in str(audit)
    with pytest.raises(ValueError, match="no prompt could be explained"):
        ip.audit_prompts([TooLong()], **SETTINGS)
    with pytest.raises(ip.GameError, match="refused"):
        ip.audit_prompts([ip.FunctionGame(broken, 3) for _ in range(25)], **SETTINGS)


def test_nothing_is_made_of_explanations_that_may_not_be_used() -> None:
    def noise(number: int, masks: BoolArray) -> FloatArray:
        rng = np.random.default_rng(number)
        table = rng.normal(size=1 << 12)
        return np.asarray(table[masks @ (1 << np.arange(12))])

    prompts = [ip.FunctionGame(partial(noise, number), 12) for number in range(3)]
    audit = ip.audit_prompts([*prompts, *games(2)], **SETTINGS)
    left_out = {prompt.number for prompt in audit.left_out}
    assert left_out
    assert all(prompt.level in ("not usable", "unknown") for prompt in audit.left_out)
    numbers = {number for finding in audit.results.listed for number, _ in finding.strongest}
    assert not numbers & left_out
    assert audit.worst[0].number in left_out
    assert "may not be used" in str(audit)


def test_a_constant_score_counts_as_a_prompt_where_nothing_shows() -> None:
    constant = [ip.FunctionGame(lambda m: np.ones(len(m)), 3, players=NAMES) for _ in range(5)]
    audit = ip.audit_prompts([*games(5), *constant], **SETTINGS)
    evidence = next(one for one in audit.results.listed if one.roles == ("evidence",))
    assert (evidence.share.shown, evidence.share.of) == (5, 10)


def test_chance_makes_no_finding_of_what_does_nothing() -> None:
    def noisy(number: int, masks: BoolArray) -> FloatArray:
        table = np.random.default_rng(number).normal(size=1 << 5)
        return np.asarray(masks[:, 0] * 1.0 + 0.02 * table[masks @ (1 << np.arange(5))])

    prompts = [ip.FunctionGame(partial(noisy, row), 5) for row in range(12)]
    audit = ip.audit_prompts(prompts, **SETTINGS)
    assert [finding.roles for finding in audit.findings] == [("0",)]
    assert audit.results.n_tested == 2 * (5 + 10)


class Named:
    """A prompt whose first player is the evidence, and the first document but in odd prompts."""

    def __init__(self, number: int, game: ip.Game, is_odd: bool) -> None:
        self.title, self.line, self.columns = f"row {number}", number, dict[str, str]()
        self._game, self._is_odd = game, is_odd

    def game(self) -> ip.Game:
        return self._game

    def roles(self, game: ip.Game) -> list[list[str]]:
        other = [["evidence"], ["note", "document 1"], ["heading", "document 2"]]
        usual = [["evidence", "document 1"], ["note", "document 2"], ["heading"]]
        return other if self._is_odd else usual


@pytest.mark.parametrize(("n_odd", "split"), [(0, False), (1, False), (2, True), (6, True)])
def test_an_odd_row_splits_no_finding(n_odd: int, split: bool) -> None:
    prompts = [Named(number, game, number < n_odd) for number, game in enumerate(games(12))]
    audit = ip.audit_prompts(prompts, **SETTINGS)
    pairs = [one.roles for one in audit.results.listed if one.sign < 0 and len(one.roles) == 2]
    assert ("evidence", "note") in pairs
    assert (len(pairs) > 1) == split
    also = {"evidence": ("document 1",), "note": ("document 2",)}
    assert (audit.results.also == also) != split
    few = [Named(number, game, number < 1) for number, game in enumerate(games(4))]
    assert ip.audit_prompts(few, **SETTINGS).results.also == {}  # of four one is no odd one


def test_only_what_is_explained_worse_is_named_as_such(tmp_path: Path) -> None:
    well = ip.audit_prompts(games(6), **SETTINGS)
    assert well.poor == ()
    assert "all 6 that were explained are explained well" in str(well)
    assert "worst explained" not in str(well)
    assert "All 6 are explained well." in well.to_html(tmp_path / "a.html").read_text()

    def noise(masks: BoolArray) -> FloatArray:
        table = np.random.default_rng(0).normal(size=1 << 12)
        return np.asarray(table[masks @ (1 << np.arange(12))])

    audit = ip.audit_prompts([*games(5), ip.FunctionGame(noise, 12)], **SETTINGS)
    assert [prompt.number for prompt in audit.poor] == [5]
    named = str(audit).partition("worst explained: ")[2]
    assert named.startswith(audit.poor[0].title)
    assert "R2 1.00" not in named
    page = audit.to_html(tmp_path / "b.html")
    assert "1 of 6 is explained worse, and stands first." in page.read_text()


def test_parts_of_a_set(tmp_path: Path) -> None:
    class Cut:
        def __init__(self, number: int, game: ip.Game) -> None:
            self.title, self.line = f"row {number}", number
            self.columns = {"kind": "flawed" if number % 3 == 0 else "sound"}
            self._game = game

        def game(self) -> ip.Game:
            return self._game

        def roles(self, game: ip.Game) -> list[list[str]]:
            return [["evidence", "document 1"], ["note"], ["heading"]]

    prompts = [Cut(number, game) for number, game in enumerate(games(12))]
    audit = ip.audit_prompts(prompts, folder=tmp_path, by="kind", **SETTINGS)
    first = audit.findings[0]
    assert audit.results.also == {"evidence": ("document 1",)}
    assert (first.slices["flawed"].shown, first.slices["flawed"].of) == (4, 4)
    assert first.slices["sound"].shown == 0
    page = audit.to_html().read_text()
    assert "together they lower the score" in page
    assert page.index(first.sentence) < page.index(audit.summary[0])  # findings come first
    assert "script" not in page.split("</style>")[1]
    address = page.split('href="')[1].split('"')[0]
    assert (tmp_path / address).is_file()
    assert audit.explanation(0).players == tuple(NAMES)
    document = json.loads(audit.save(tmp_path / "audit.json").read_text())
    assert document["findings"][0]["slices"]["flawed"]["shown"] == 4


def test_prompts_given_twice_and_a_column_that_none_has_are_told(tmp_path: Path) -> None:
    twice = [*games(4), *games(4)]
    audit = ip.audit_prompts(twice, folder=tmp_path, by="kind", **SETTINGS)
    told = " ".join(audit.summary)
    assert "4 of the prompts are the same as an earlier one" in told
    assert "No prompt has the column 'kind'" in told
    once = ip.audit_prompts(games(4), folder=tmp_path, **SETTINGS)
    assert not {"same", "column"} & set(" ".join(once.summary).split())


def test_titles_and_reasons_are_escaped_on_the_page(tmp_path: Path) -> None:
    prompt = GivenGame(next(games(1)), "<script>alert(1)</script>")
    page = ip.audit_prompts([prompt], folder=tmp_path, **SETTINGS).to_html().read_text()
    assert "<script>alert" not in page


def test_a_large_set_takes_bounded_memory() -> None:
    def peak(n_prompts: int) -> int:
        tracemalloc.start()
        ip.audit_prompts(games(n_prompts), **SETTINGS)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)  # imports
    small, large = peak(10), peak(60)
    assert large - small < 50 * 10_000  # of each prompt a few kilobytes, not its explanation


def test_scores_are_pooled_by_their_squared_errors() -> None:
    pooled = pooled_score([(1.0, 10.0, False), (3.0, 10.0, False), (0.0, 0.0, True)], 0)
    assert pooled.r2 == pytest.approx(0.8)
    assert pooled.low is not None
    assert pooled.high is not None
    assert pooled.low <= 0.8 <= pooled.high
    assert (pooled.n_prompts, pooled.n_exact) == (2, 1)


def test_holm() -> None:
    assert _holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert _holm([0.01, 0.02, 0.03]) == [True, True, True]


def test_the_default_budget_and_wrong_arguments(tmp_path: Path) -> None:
    assert (default_budget(3), default_budget(32)) == (64, 320)
    with pytest.raises(ValueError, match="least"):
        ip.audit_prompts(games(1), least=1.0)
    with pytest.raises(ValueError, match="output=2"):
        ip.audit_prompts(games(1), output=2, **SETTINGS)
    records = Records(tmp_path / "records.jsonl")
    assert records.find("unknown") is None
    records.close()
