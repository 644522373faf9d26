"""Necessary and sufficient sets: found by the spectrum, asked of the game, saved and shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, Json
from interplay.audit.stored import check_decisive as check_decisive_sets
from interplay.audit.stored import read
from interplay.explanation.decisive import DecisiveSet, check_decisive
from interplay.explanation.explanation import Explanation
from interplay.explanation.question import threshold_of, through_ends
from interplay.fourier.masks import keys
from interplay.report.export import as_json, as_markdown, schema

N = 24
WEIGHTS = 0.1 * np.random.default_rng(0).normal(size=N)


def either(masks: BoolArray) -> FloatArray:
    """Either of 3 and 16 suffices, more or less; 7 and 9 add to it together."""
    one, both = masks[:, 3] | masks[:, 16], masks[:, 7] & masks[:, 9]
    return np.asarray(1 / (1 + np.exp(3.0 - 4.0 * one - 2.0 * both - masks @ WEIGHTS)))


class Counted:
    """A game that counts what it evaluates."""

    def __init__(self, function: Callable[[BoolArray], FloatArray]) -> None:
        self.function, self.n_evaluated = function, 0

    def __call__(self, masks: BoolArray) -> FloatArray:
        self.n_evaluated += len(masks)
        return self.function(masks)


@pytest.fixture(scope="module")
def game() -> ip.FunctionGame:
    return ip.FunctionGame(either, N, fingerprint="either")


@pytest.fixture(scope="module")
def explanation(game: ip.FunctionGame) -> Explanation:
    return ip.explain(game, decoder="proxyspex", measure="uniform", budget=400)


def test_both_of_two_are_necessary_and_either_suffices(explanation: Explanation) -> None:
    necessary, sufficient = explanation.necessary(), explanation.sufficient()
    assert necessary.players == (3, 16)
    assert necessary.labels == ("3", "16")
    assert necessary.rule == "half"
    assert necessary.threshold == pytest.approx((necessary.full + necessary.baseline) / 2)
    assert sufficient.players in ((3,), (16,))
    for chosen in (necessary, sufficient):
        assert chosen.proven
        assert chosen.predicted_size == len(chosen.players or ())
        assert chosen.needed is True
        assert chosen.is_measured
        assert 0 < chosen.n_evaluated <= chosen.budget == 20
    (other,) = [one for one in sufficient.exchanged if sufficient.enough(one.measured)]
    assert {*other.players, *(sufficient.players or ())} == {3, 16}
    assert f"1 would do as well: {other.players[0]}." in sufficient.evidence


def test_what_was_measured_is_what_the_game_says(explanation: Explanation) -> None:
    for chosen in (explanation.necessary(), explanation.sufficient(threshold=0.95)):
        assert chosen.players is not None
        for tried in chosen.tried:
            mask = np.full(N, chosen.kind == "necessary")
            mask[list(tried.players)] ^= True
            # a product of matrices rounds by its number of rows
            assert tried.measured == pytest.approx(either(mask[None])[0], rel=1e-12)
        # what the game was asked for is what was not known from the run
        assert chosen.n_evaluated <= len(chosen.tried)


@pytest.mark.parametrize("seed", range(4))
def test_all_masks_measured_is_the_truth(seed: int) -> None:
    """With all 2^n values known it is the smallest set of all, and nothing is evaluated."""
    table = np.random.default_rng(seed).normal(size=64)

    def looked_up(masks: BoolArray) -> FloatArray:
        return np.asarray(table[masks @ (1 << np.arange(6))])

    explanation = replace(ip.explain(ip.FunctionGame(looked_up, 6)), game=None)
    for kind in ("necessary", "sufficient"):
        chosen: DecisiveSet = getattr(explanation, kind)()
        sizes = [
            size
            for size in range(7)
            for players in combinations(range(6), size)
            if chosen.enough(looked_up(_mask(kind, players)[None])[0])
        ]
        assert len(chosen.players or ()) == chosen.predicted_size == min(sizes)
        assert chosen.needed is True
        assert chosen.n_evaluated == 0
        assert chosen.is_measured


def _mask(kind: str, players: tuple[int, ...]) -> BoolArray:
    mask = np.full(6, kind == "necessary")
    mask[list(players)] ^= True
    return mask


def test_the_game_has_the_last_word(explanation: Explanation) -> None:
    """Where the best set is not enough by the game, others are tried, within the budget."""

    def stubborn(masks: BoolArray) -> FloatArray:
        """Without 3 and 16 the answer stands all the same, unless 7 is gone too."""
        values = either(masks)
        alone = ~masks[:, 3] & ~masks[:, 16] & masks[:, 7] & (masks.sum(axis=1) >= N - 6)
        return np.where(alone, 0.9, values)

    counted = Counted(stubborn)
    other = replace(explanation, game=ip.FunctionGame(counted, N, fingerprint="either"))
    chosen = other.necessary()
    assert chosen.predicted_size == 2
    assert chosen.players == (3, 7, 16)
    assert chosen.needed is True
    assert counted.n_evaluated == chosen.n_evaluated <= 20
    few = other.necessary(budget=1)
    assert few.players is None
    assert few.n_evaluated == 1
    assert few.reason.startswith("No set that was tried is enough by the game")
    assert "none found" in str(few)


def test_players_that_are_not_needed_are_left_out(explanation: Explanation) -> None:
    """Where the spectrum asks for too many, the game says so."""
    other = replace(
        explanation,
        game=ip.FunctionGame(
            lambda masks: np.where(masks[:, 3], either(masks), 0.0), N, fingerprint="either"
        ),
    )
    chosen = other.necessary()
    assert chosen.predicted_size == 2
    assert chosen.players == (3,)
    assert chosen.needed is True


def test_without_a_game_it_is_a_prediction(
    explanation: Explanation, game: ip.FunctionGame, tmp_path: Path
) -> None:
    loaded = ip.load(explanation.save(tmp_path / "either.interplay"))
    chosen = loaded.necessary()
    assert chosen.players == (3, 16)
    assert not chosen.is_measured
    assert chosen.needed is None
    assert "is predicted, not measured" in str(chosen)
    assert "give game=..., the game that was explained" in str(chosen)
    assert loaded.necessary(game=game) == explanation.necessary()
    with pytest.raises(ValueError, match="give that game"):
        loaded.necessary(game=ip.FunctionGame(either, N, fingerprint="another"))


def test_an_explanation_that_is_not_usable_is_refused() -> None:
    def hashed(masks: BoolArray) -> FloatArray:
        return np.array([int.from_bytes(key, "little") * 2654435761 % 10007 for key in keys(masks)])

    game = ip.FunctionGame(hashed, 46)
    explanation = ip.explain(game, decoder="lasso", measure="uniform", budget=100)
    assert explanation.verdict.level == "not usable"
    chosen = explanation.necessary()
    assert chosen.players is None
    assert chosen.n_evaluated == 0
    assert chosen.reason.startswith("No set was looked for: the explanation is not usable")


def test_a_constant_is_refused() -> None:
    explanation = ip.explain(ip.FunctionGame(lambda masks: np.ones(len(masks)), 4))
    assert explanation.sufficient().reason.startswith("No set was looked for")


def test_the_threshold() -> None:
    margin: Json = {"targets": [{"kind": "Contrast"}]}
    assert threshold_of(margin, 0, 2.0, -1.0, None) == (0.0, "sign")
    assert threshold_of(margin, 0, 2.0, 1.0, None) == (0.0, "sign")
    assert threshold_of({"score": "margin"}, 0, -2.0, 1.0, None) == (0.0, "sign")
    assert threshold_of({"scores": ["prob", "margin"]}, 1, -2.0, 1.0, None) == (0.0, "sign")
    assert threshold_of({"scores": ["prob", "margin"]}, 0, -2.0, 1.0, None) == (-0.5, "half")
    questions: Json = {"score": "auto", "questions": [{"against": "x"}, {"against": None}]}
    assert threshold_of(questions, 0, 2.0, -1.0, None) == (0.0, "sign")
    assert threshold_of(questions, 1, 2.0, -1.0, None) == (0.5, "half")
    assert threshold_of({}, 0, 2.0, -1.0, 1.0) == (1.0, "given")
    with pytest.raises(ValueError, match="threshold=nan is not a finite number"):
        threshold_of({}, 0, 2.0, -1.0, float("nan"))


def test_a_middle_that_says_little_is_told() -> None:
    game = ip.FunctionGame(lambda masks: 0.1 * masks[:, 0] + (masks[:, 1] ^ masks[:, 2]), 3)
    assert "the middle between the two says little" in ip.explain(game).necessary().reason


def test_the_empty_set_may_suffice(explanation: Explanation) -> None:
    chosen = explanation.sufficient(threshold=0.0)
    assert chosen.players == ()
    assert "nothing; no player is needed" in str(chosen)


def test_a_spectrum_through_its_ends(explanation: Explanation) -> None:
    assert explanation.ends is not None
    through = through_ends(replace(explanation.spectrum, ends=None), explanation.ends)
    ends = np.repeat([[True], [False]], N, axis=1)
    np.testing.assert_allclose(through.predict(ends), explanation.ends, atol=1e-12)


def test_several_outputs() -> None:
    game = ip.FunctionGame(lambda masks: np.stack([masks[:, 0], masks[:, 1] * 1.0], axis=1), 3)
    explanation = ip.explain(game)
    assert explanation.necessary(output=1).players == (1,)
    assert explanation.sufficient().players == (0,)


# --- saved, shown, audited ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def decided(explanation: Explanation) -> Explanation:
    return replace(explanation, decisive=(explanation.necessary(), explanation.sufficient()))


def test_they_are_saved(decided: Explanation, tmp_path: Path) -> None:
    assert ip.load(decided.save(tmp_path / "either.interplay")).decisive == decided.decisive


def test_they_are_shown(decided: Explanation, tmp_path: Path) -> None:
    parts = [("either", decided)]
    page = decided.to_html(tmp_path / "either.html").read_text(encoding="utf-8")
    for text in (str(decided), as_markdown(parts).replace("\\", ""), page):
        flat = " ".join(text.split())
        assert "Necessary: without these players the answer changes" in flat
        assert "Each of them is needed, as measured." in flat
    document = json.loads(as_json(parts))
    assert [one["kind"] for one in document["explanations"][0]["decisive"]] == [
        "necessary",
        "sufficient",
    ]
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(document, schema())
    document["explanations"][0]["decisive"][0]["kind"] = "decisive"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


def test_the_words_are_lit_in_the_text(tmp_path: Path) -> None:
    class Text(ip.FunctionGame):
        batch_size = 64

        def arrange(self, masks: BoolArray) -> Any:
            return np.arange(len(masks))

        def cost(self, masks: BoolArray) -> FloatArray:
            return np.ones(len(masks))

        def describe(self) -> Json:
            view = {"kind": "text", "title": "The input"}
            return {"lens": "text", "text": "not <b>", "spans": [[0, 3], [4, 7]], "view": view}

    explanation = ip.explain(Text(lambda masks: 1.0 * masks[:, 1], 2, players=["not", "<b>"]))
    shown = replace(explanation, decisive=(explanation.necessary(),))
    page = shown.to_html(tmp_path / "text.html").read_text(encoding="utf-8")
    assert "<mark>&lt;b&gt;</mark>" in page


def test_an_audit_compares_their_values(game: ip.FunctionGame, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    explanation = ip.explain(game, decoder="proxyspex", measure="uniform", budget=400, store=store)
    chosen = explanation.necessary(store=store)
    honest = replace(explanation, decisive=(chosen,))

    def audited(explanation: Explanation, path: Path | None = store) -> str:
        (check,) = check_decisive_sets(
            explanation, lambda masks: None if path is None else read(explanation, path, masks)
        )
        return check.status

    assert "decisive sets" in {one.name for one in ip.verify(honest, store=store, sample=0).checks}
    assert audited(honest) == "match"
    assert audited(honest, None) == "not checked"
    last = chosen.tried[-1]
    changes: list[Json] = [
        {"threshold": chosen.threshold + 0.01},
        {"full": chosen.full + 0.01},
        {"predicted": chosen.predicted + 0.01},
        {"measured": chosen.measured + 0.01},
        {"needed": None},
        {"tried": (*chosen.tried[:-1], replace(last, measured=last.measured + 0.01))},
    ]
    for change in changes:
        changed = replace(honest, decisive=(replace(chosen, **change),))
        assert audited(changed) == "mismatch", change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"players": [16, 3]}, "ascending numbers of players from 0 to 23"),
        ({"players": [3, 24]}, "ascending numbers of players from 0 to 23"),
        ({"labels": ["3", "x"]}, "labels are not the names"),
        ({"output": 1}, "one of 1 outputs is expected"),
        ({"measured": 0.1}, "is not among those of its tried sets"),
        ({"threshold": None}, "threshold is null"),
        ({"threshold": None, "rule": "given", "players": None}, "the number that was given"),
        ({"players": None, "labels": []}, "has a measured value, but no players"),
        ({"tried": [{"players": [24], "predicted": 0.0, "measured": 0.0}]}, "ascending"),
    ],
)
def test_a_record_that_cannot_be(decided: Explanation, change: Json, message: str) -> None:
    record = decided.decisive[0].to_json() | change
    with pytest.raises(ValueError, match=message):
        check_decisive([record], decided.players, 1)


def test_a_set_on_the_wrong_side_cannot_be(decided: Explanation) -> None:
    record = decided.decisive[0].to_json()
    with pytest.raises(ValueError, match="on the wrong side of its threshold"):
        check_decisive([record | {"threshold": 0.0, "rule": "given"}], decided.players, 1)
