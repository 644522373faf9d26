"""Numbers of a saved explanation that nobody could have run: none takes an audit memory or time."""

from __future__ import annotations

import contextlib
import copy
import json
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import interplay as ip
from interplay.ablation.store import Store
from interplay.cli.trust import time_limit
from interplay.confirmation.design import choose_design
from interplay.game import MOST_REPEATS
from tests.audit.test_tampering import Described, honest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="a time limit needs signals"),
]
__all__ = ["honest"]  # the fixture
SECONDS = 60.0
"""An audit of this run takes a tenth of a second; what takes so long is taken for hung."""
HUGE = (10**7, 10**12, 2**63, 2**64, 10**200, 1e300, 1 - 2**-53, 5e-324, 0, -1, -(10**12))
Place = tuple[str | int, ...]


def numbers(part: Any, place: Place = ()) -> Iterator[Place]:
    """Where a document has numbers, or nothing."""
    if isinstance(part, dict):
        for name, member in part.items():
            yield from numbers(member, (*place, name))
    elif isinstance(part, list):
        for row, entry in enumerate(part[:2]):
            yield from numbers(entry, (*place, row))
    elif part is None or (isinstance(part, int | float) and not isinstance(part, bool)):
        yield place


def audited(folder: Path, document: Any, source: Path, store: Path) -> str:
    """The verdict on a file with another document; ``"refused"`` if it does not load."""
    path = folder / "changed.interplay"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            is_document = name.endswith(".json")
            new.writestr(name, json.dumps(document) if is_document else old.read(name))
    explanation, refusal = None, ""
    with time_limit(SECONDS, "hung"):
        try:
            explanation = ip.load(path)
        except ValueError as error:
            refusal = str(error)
        if explanation is None:
            assert "hung" not in refusal
            return "refused"
        verification = ip.verify(explanation, Described(), store=store, sample=2)
        assert str(verification)
        assert str(explanation.verdict)
    return verification.verdict


def with_number(document: Any, place: Place, number: float) -> Any:
    changed = copy.deepcopy(document)
    part = changed
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = number
    return changed


@pytest.fixture(scope="module")
def saved(
    honest: tuple[ip.Explanation, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path, Path]:
    """The document of a run, its file and its store."""
    explanation, store = honest
    path = explanation.save(tmp_path_factory.mktemp("numbers") / "a.interplay")
    return json.loads(zipfile.ZipFile(path).read("explanation.json")), path, store


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_number_anywhere(
    saved: tuple[Any, Path, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    document, path, store = saved
    place = data.draw(st.sampled_from(list(numbers(document))))
    number = data.draw(st.sampled_from(HUGE) | st.integers() | st.floats(allow_nan=False))
    folder = tmp_path_factory.getbasetemp()
    assert audited(folder, with_number(document, place, number), path, store) in (
        *("refused", "match", "mismatch", "incomplete"),
    )


def leaves(part: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Where a document has a value, and the value."""
    members = part.items() if isinstance(part, dict) else enumerate(part)
    for name, member in members:
        if isinstance(member, dict | list) and member:
            yield from leaves(member, (*place, name))
        else:
            yield (*place, name), member


def other(value: Any) -> Any:
    """A value of the same type that says something else."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if isinstance(value, int) else 1.01 * value + 1e-3
    return f"{value}x" if isinstance(value, str) else 1 if value is None else {"x": 1}


@given(data=st.data())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_entry_is_checked_or_listed_as_taken_on_trust(
    saved: tuple[Any, Path, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    document, path, store = saved
    listed = [
        name
        for entry in ip.verify(ip.load(path), Described(), store=store, sample=1).trusted
        for name in entry.what.split(", ")
    ]
    place, value = data.draw(st.sampled_from(list(leaves(document))))
    changed = with_number(document, place, other(value))
    if audited(tmp_path_factory.getbasetemp(), changed, path, store) == "match":
        dotted = ".".join(map(str, place)).removeprefix("provenance.")
        assert any(f"{dotted}.".startswith(f"{name}.") for name in listed), dotted


REQUEST = ("provenance", "request")


@pytest.mark.parametrize(
    ("place", "verdict"),
    [
        ((*REQUEST, "budget"), "mismatch"),
        ((*REQUEST, "order"), "mismatch"),
        (("provenance", "random_state"), "mismatch"),
        (("provenance", "game", "n_players"), "refused"),
        (("provenance", "game", "n_outputs"), "refused"),
        (("provenance", "game", "n_repeats"), "refused"),
        (("n_players",), "refused"),
        (("confirmation", "budget"), "incomplete"),
        (("confirmation", "output"), "refused"),
        (("confirmation", "order"), "incomplete"),  # the same claims: taken on trust
        (("confirmation", "n_backgrounds"), "mismatch"),
        (("provenance", "budget", "skipped"), "mismatch"),
        (("provenance", "budget", "evaluated"), "mismatch"),
        (("faithfulness", "level"), "refused"),
    ],
)
@pytest.mark.parametrize("number", [10**12, 10**200])
def test_a_huge_number(
    saved: tuple[Any, Path, Path], tmp_path: Path, place: Place, verdict: str, number: int
) -> None:
    document, path, store = saved
    assert audited(tmp_path, with_number(document, place, number), path, store) == verdict


@pytest.mark.parametrize("share", [1 - 2**-53, 1 - 1e-12, 5e-324, 1e300, -1.0, 10**12])
@pytest.mark.parametrize("decoder", ["lasso", "gp", "spex", "exact", "proxyspex", "auto"])
def test_a_share_to_hold_out_that_leaves_nothing(
    saved: tuple[Any, Path, Path], tmp_path: Path, decoder: str, share: float
) -> None:
    document, path, store = saved
    changed = with_number(document, (*REQUEST, "holdout"), share)
    changed["provenance"]["request"]["decoder"] = decoder
    assert audited(tmp_path, changed, path, store) == "mismatch"


def test_a_stopping_rule_of_a_huge_budget(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    explanation = ip.explain(Described(), decoder="lasso", budget=60, store=store)
    until = {"goal": 1.0, "budget": 10**15, "stopped_since": "the budget was spent", "steps": []}
    provenance = explanation.provenance | {"until": until}
    with time_limit(SECONDS, "hung"):
        verification = ip.verify(replace(explanation, provenance=provenance), store=store, sample=0)
    assert verification["stopping rule"].status == "mismatch"


@pytest.mark.parametrize("columns", [None, 3])
def test_a_store_whose_repeats_are_none(tmp_path: Path, columns: int | None) -> None:
    """Its rows are those of a game without repeats, or of another number of them."""

    def noisy(masks: Any, seeds: Any) -> Any:
        return masks[:, 0] + 0.1 * np.sin(seeds)

    game = ip.FunctionGame(noisy, 6, fingerprint="noisy", n_repeats=2)
    explanation = ip.explain(game, store=tmp_path / "a.db")
    assert ip.verify(explanation, store=tmp_path / "a.db").matches
    from interplay.ablation.evaluator import store_key

    masks = explanation.ablations.masks
    values = np.ones(len(masks) if columns is None else (len(masks), columns))
    with Store(tmp_path / "b.db") as store:
        store.put(store_key("noisy", 2), masks, values)
    with pytest.raises(ip.StoreError, match="which are not of 2 repeats"):
        ip.verify(explanation, store=tmp_path / "b.db")
    with pytest.raises(ValueError, match=f"from 1 to {MOST_REPEATS:,}"):
        ip.explain(ip.FunctionGame(noisy, 6, n_repeats=10**12))


@pytest.mark.parametrize("budget", [10**4, 10**5])
def test_the_backgrounds_of_a_confirmation_are_as_many_as_fit(budget: int) -> None:
    known = np.ones((1, 40), dtype=np.bool_)
    design = choose_design([(0, 1), (2, 3, 4)], known, budget, 0)
    assert 0.99 * budget < len(design.masks) <= budget


@pytest.mark.parametrize("value", [1.7e308, 1e200, 5e-324])
@pytest.mark.parametrize("outputs", [None, 2])
def test_a_store_of_any_values_with_the_right_checksums(
    honest: tuple[ip.Explanation, Path], tmp_path: Path, value: float, outputs: int | None
) -> None:
    """Whoever makes a store can make its checksums: an audit still ends in a mismatch."""
    explanation, _ = honest
    masks = explanation.ablations.masks
    signs = np.where(masks[:, 0], 1.0, -1.0)
    values = signs * value if outputs is None else np.tile(signs[:, None] * value, outputs)
    with Store(tmp_path / "a.db") as store:
        store.put("described", masks, values)
    verification = ip.verify(explanation, Described(), store=tmp_path / "a.db", sample=2)
    assert verification["store"].status == "mismatch"
    with contextlib.suppress(ip.InterplayError):
        ip.explain(Described(), decoder="lasso", order=2, budget=120, store=tmp_path / "a.db")
