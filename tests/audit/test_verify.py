"""An audit finds what was tampered with, and nothing if nothing was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.ablation.digests import ablations_digest, masks_digest
from interplay.ablation.rows import entries
from interplay.ablation.schema import SCHEMA_VERSION
from interplay.explanation.explanation import Ablations
from interplay.fourier.masks import uniform
from tests.conftest import planted

pytestmark = pytest.mark.slow

TRUTH = planted(20, 6, np.random.default_rng(0), max_order=3)


def noisy(masks: BoolArray, seeds: IntArray) -> FloatArray:
    return TRUTH.predict(masks) + 0.2 * np.sin(seeds)


def two(masks: BoolArray) -> FloatArray:
    return np.stack([TRUTH.predict(masks), 1.0 * masks[:, 3]], axis=1)


GAMES: dict[str, tuple[Callable[[], ip.FunctionGame], dict[str, Any]]] = {
    "proxyspex": (
        lambda: ip.FunctionGame(TRUTH.predict, 20, fingerprint="f"),
        {"budget": 150, "decoder": "proxyspex"},
    ),
    "spex": (
        lambda: ip.FunctionGame(TRUTH.predict, 20, fingerprint="f"),
        {"budget": 800, "decoder": "spex", "decoding": "hard"},
    ),
    "lasso of two outputs": (
        lambda: ip.FunctionGame(two, 20, fingerprint="two"),
        {"budget": 120, "decoder": "lasso", "order": 2, "holdout": 30, "random_state": 3},
    ),
    "a random game": (
        lambda: ip.FunctionGame(noisy, 20, fingerprint="r", n_repeats=3),
        {"budget": 120, "decoder": "proxyspex"},
    ),
    "a full table": (
        lambda: ip.FunctionGame(lambda m: 1.0 * (m[:, 0] & m[:, 1]), 4, fingerprint="t"),
        {},
    ),
}


@pytest.mark.parametrize("name", GAMES)
def test_nothing_is_found_if_nothing_was_changed(name: str, tmp_path: Path) -> None:
    make, settings = GAMES[name]
    store = tmp_path / "a.db"
    saved = ip.explain(make(), store=store, **settings).save(tmp_path / "a.interplay")
    verification = ip.verify(ip.load(saved), make(), store=store)
    assert verification.matches
    assert verification.summary == "MATCH (8 match, 0 mismatch, 0 not checked)"
    assert [check.name for check in verification.checks] == [
        *("ablations", "store", "masks", "spectrum", "faithfulness", "record", "game", "model")
    ]
    explanation = ip.load(saved)
    assert len(verification["store"].entries) == len(explanation.ablations) + 1
    n_ends = 0 if explanation.faithfulness.exact else 1  # both in one line
    assert len(verification["spectrum"].entries) == len(explanation.spectrum) + n_ends
    assert len(verification["model"].entries) == min(20, len(explanation.ablations))
    # the game evaluates its masks in other batches than then; the rest is equal to the last bit
    assert all(entry.recorded == entry.found for entry in verification["spectrum"].entries)


@pytest.fixture
def run(tmp_path: Path) -> tuple[ip.Explanation, Path]:
    """An explanation and its store."""
    make, settings = GAMES["proxyspex"]
    store = tmp_path / "a.db"
    explanation = ip.explain(make(), store=store, **settings)
    return ip.load(explanation.save(tmp_path / "a.interplay")), store


def game() -> ip.FunctionGame:
    return GAMES["proxyspex"][0]()


def wrong(verification: ip.Verification) -> set[str]:
    assert not verification.matches
    assert verification.verdict == "mismatch"
    assert verification.summary.startswith("MISMATCH (")
    return {check.name for check in verification.checks if check.status == "mismatch"}


def tamper(store: Path, mask: BoolArray, change: float) -> None:
    """Change one stored value and its checksum, as somebody who knows the format can."""
    key = np.packbits(mask, bitorder="little").tobytes()
    with closing(sqlite3.connect(store)) as db, db:
        (value,) = db.execute("SELECT value FROM ablation WHERE mask = ?", (key,)).fetchone()
        value = (np.frombuffer(value, "<f8") + change).tobytes()
        (entry,) = entries(db, SCHEMA_VERSION)
        fields = (value, entry.rows().checksum(key, value), key)
        statement = "UPDATE ablation SET value = ?, checksum = ? WHERE mask = ?"
        assert db.execute(statement, fields).rowcount


def test_a_tampered_value_in_the_store(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    tamper(store, explanation.fit.masks[5], 0.5)
    verification = ip.verify(explanation, game(), store=store, sample=0)
    assert wrong(verification) == {"store", "spectrum", "faithfulness", "record"}
    check = verification["store"]
    assert check.n_matching == len(check.entries) - 2  # the value, and the hash of them all
    (entry, _) = [entry for entry in check.entries if not entry.matches]
    assert entry.recorded == (explanation.fit.values[5],)
    assert entry.found == (explanation.fit.values[5] + 0.5,)
    assert "mismatch: mask keeping" in str(verification)


def test_the_last_bit_of_a_stored_value(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    value = explanation.held_out.values[0]
    tamper(store, explanation.held_out.masks[0], float(np.spacing(value)))
    assert wrong(ip.verify(explanation, store=store)) == {"store", "record"}


def test_a_value_changed_in_the_explanation(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    values = explanation.fit.values.copy()
    values[7] += 1.0
    changed = replace(explanation, fit=Ablations(explanation.fit.masks, values))
    assert wrong(ip.verify(changed, store=store)) == {"ablations", "store"}
    # without the store what it says is not what its own values give
    assert wrong(ip.verify(changed)) == {"ablations", "spectrum", "faithfulness", "record"}


def test_a_value_changed_everywhere_is_found_by_the_model(tmp_path: Path) -> None:
    liar = ip.FunctionGame(lambda masks: TRUTH.predict(masks) + 0.5 * masks[:, 2], 20,
                           fingerprint="f")  # fmt: skip
    explanation = ip.explain(liar, budget=150, store=tmp_path / "a.db")
    verification = ip.verify(explanation, game(), store=tmp_path / "a.db", sample=30,
                             random_state=0)  # fmt: skip
    assert wrong(verification) == {"model"}
    assert 5 < verification["model"].n_matching < 25  # where player 2 is removed there is no lie


def test_a_tampered_spectrum(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    coefficients = explanation.spectrum.coefficients.copy()
    row = int(np.argmax(np.abs(coefficients)))
    coefficients[row] *= 1.00001
    changed = replace(
        explanation, spectrum=replace(explanation.spectrum, coefficients=coefficients)
    )
    verification = ip.verify(changed, store=store)
    assert wrong(verification) == {"spectrum"}
    (entry,) = [entry for entry in verification["spectrum"].entries if not entry.matches]
    players = ", ".join(map(str, explanation.spectrum.sets[row]))
    assert entry.what == (f"players {players}" if players else "no players (the mean)")


def test_a_term_left_out_and_one_made_up(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    terms = dict(explanation.spectrum)
    left_out = max(terms, key=lambda players: abs(float(terms[players])))
    made_up = (0, 1, 2, 3, 4, 5, 6)
    terms = {players: float(value) for players, value in terms.items() if players != left_out}
    spectrum = replace(ip.Spectrum.from_dict(20, terms | {made_up: 0.3}), ends=explanation.ends)
    verification = ip.verify(replace(explanation, spectrum=spectrum), store=store)
    assert wrong(verification) == {"spectrum"}
    missing, new = sorted(
        (entry for entry in verification["spectrum"].entries if not entry.matches),
        key=lambda entry: entry.found is None,
    )
    assert missing.recorded is None
    assert new.found is None
    assert new.what == "players 0, 1, 2, 3, 4, 5, 6"


def test_the_uncertainty_is_made_again(tmp_path: Path) -> None:
    explanation = ip.explain(game(), decoder="gp", budget=100, store=tmp_path / "a.db")
    saved = ip.load(explanation.save(tmp_path / "a.interplay"))
    verification = ip.verify(saved, store=tmp_path / "a.db", sample=0)
    assert verification.matches
    assert verification["uncertainty"].n_matching == len(saved.spectrum) + 1
    assert saved.surrogate is not None
    assert verification["surrogate"].n_matching == len(saved.surrogate) > len(saved.spectrum)
    richer = ip.verify(replace(saved, surrogate=1.01 * saved.surrogate))
    assert wrong(richer) == {"surrogate"}
    spectrum = saved.spectrum
    assert spectrum.deviations is not None
    surer = replace(spectrum, deviations=0.5 * spectrum.deviations)
    changed = ip.verify(replace(saved, spectrum=surer), store=tmp_path / "a.db")
    assert wrong(changed) == {"uncertainty"}
    silent = ip.verify(replace(saved, spectrum=replace(spectrum, deviations=None)))
    assert wrong(silent) == {"uncertainty"}


def test_a_tampered_score(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    better = replace(explanation.faithfulness, low=explanation.faithfulness.low + 0.001)
    verification = ip.verify(replace(explanation, faithfulness=better), store=store)
    assert wrong(verification) == {"faithfulness"}


def test_changed_masks(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    masks = explanation.fit.masks.copy()
    masks[3] = ~masks[3]
    changed = replace(explanation, fit=Ablations(masks, explanation.fit.values))
    verification = ip.verify(changed, store=store)
    assert {"ablations", "store", "masks"} <= wrong(verification)
    assert verification["spectrum"].status == "not checked"
    swapped = replace(explanation, fit=Ablations(masks[::-1], explanation.fit.values[::-1]))
    assert "masks" in wrong(ip.verify(swapped))


def test_masks_moved_from_the_held_out_into_the_fit(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    fit, held = explanation.fit, explanation.held_out
    changed = replace(
        explanation,
        fit=fit + Ablations(held.masks[:2], held.values[:2]),
        held_out=Ablations(held.masks[2:], held.values[2:]),
    )
    assert "masks" in wrong(ip.verify(changed, store=store))


@pytest.mark.parametrize(
    ("key", "value"),
    [("random_state", 1), ("request", {"decoder": "lasso"}), ("request", {"budget": 10})],
)
def test_changed_settings(run: tuple[ip.Explanation, Path], key: str, value: Any) -> None:
    explanation, store = run
    old = explanation.provenance[key]
    provenance = explanation.provenance | {key: old | value if isinstance(old, dict) else value}
    verification = ip.verify(replace(explanation, provenance=provenance), store=store)
    assert wrong(verification) & {"masks", "spectrum"}


def test_another_game(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    other = ip.FunctionGame(TRUTH.predict, 20, fingerprint="g")
    verification = ip.verify(explanation, other, store=store)
    assert wrong(verification) == {"game"}
    assert verification["model"].status == "not checked"
    assert "this is another game" in verification["model"].detail
    renamed = ip.FunctionGame(
        TRUTH.predict, 20, players=list("abcdefghijklmnopqrst"), fingerprint="f"
    )
    assert wrong(ip.verify(explanation, renamed, store=store)) == {"game"}


def test_fields_of_json_may_bear_the_names_that_earlier_versions_gave(
    smollm: tuple[Any, Any], tmp_path: Path
) -> None:
    """A field was called by its text. It still is the one at those characters, and no other."""
    json = '{"debts": [{"amount": 9000}, {"amount": 40}], "married": true}'
    model, tokenizer = smollm

    def game(by: Any) -> ip.text.TextGame:
        asked = "{text}\nWill the loan be approved? Answer:"
        return ip.text.TextGame(
            model, tokenizer, json, ip.text.Response(" No"), prompt=asked, by=by
        )

    made = ip.load(ip.explain(game("field"), progress=False).save(tmp_path / "a.interplay"))
    assert made.players == ("debts[0].amount: 9000", "debts[1].amount: 40", "married: true")
    texts = ('"amount": 9000', '"amount": 40', '"married": true')
    older = ip.verify(replace(made, players=texts), game("field"))
    assert older["game"].status == "match"
    assert older["model"].status == "match"
    for names in (
        (texts[1], texts[0], texts[2]),
        (texts[0], texts[1], '"married": false'),
        (*made.players[:2], "debts[1].amount: 40"),
    ):
        changed = ip.verify(replace(made, players=names), game("field"))
        assert changed["game"].status == "mismatch"
        assert "players' names" in str(changed["game"])
    whole = [(0, len(json))]  # of another unit a name is the text, and nothing else
    renamed = replace(ip.explain(game(whole), progress=False), players=("all",))
    assert ip.verify(renamed, game(whole))["game"].status == "mismatch"


def test_ablations_missing_from_the_store(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("DELETE FROM ablation WHERE mask IN (SELECT mask FROM ablation LIMIT 4)")
    verification = ip.verify(explanation, store=store)
    assert wrong(verification) == {"store"}
    assert sum(entry.found is None for entry in verification["store"].entries) == 4
    assert verification["spectrum"].detail == "the store lacks ablations"


def test_what_cannot_be_checked_is_reported(
    run: tuple[ip.Explanation, Path], tmp_path: Path
) -> None:
    explanation, store = run
    verification = ip.verify(explanation)
    assert verification.verdict == "incomplete"
    assert not verification.matches
    assert verification.summary == (
        "INCOMPLETE (5 match, 0 mismatch, 3 not checked): nothing differs, but this could not be "
        "checked: store, game, model"
    )
    assert "ip.verify(explanation, game, store=...)" in verification["game"].detail
    gone = ip.verify(explanation, store=tmp_path / "none.db")
    assert "there is no store" in gone["store"].detail
    assert not (tmp_path / "none.db").exists()
    asked = ip.verify(explanation, store=store, sample=0)
    assert asked.matches
    assert asked.summary == (
        "MATCH as far as was asked for (6 match, 0 mismatch, 0 not checked, 2 left out): not game, "
        "model"
    )
    unnamed = ip.FunctionGame(TRUTH.predict, 20)
    nameless = ip.verify(ip.explain(unnamed, decoder="lasso", budget=100), store=tmp_path / "a.db")
    assert nameless.verdict == "incomplete"
    assert "never stored" in nameless["store"].detail
    assert nameless["model"].status == "not checked"  # nothing tells that it is the same


def test_an_interrupted_run_is_made_again_from_what_there_was(tmp_path: Path) -> None:
    def failing(masks: BoolArray) -> FloatArray:
        values = TRUTH.predict(masks)
        values[masks[:, :7].all(axis=1)] = np.nan
        return values

    given = ip.FunctionGame(failing, 20, fingerprint="f")
    explanation = ip.explain(
        given, decoder="proxyspex", budget=400, store=tmp_path / "a.db", on_error="skip"
    )
    assert explanation.provenance["budget"]["skipped"] > 0
    verification = ip.verify(explanation, store=tmp_path / "a.db")
    assert verification.verdict == "incomplete"
    assert [check.name for check in verification.named("not checked")] == ["completeness"]
    assert "the run was interrupted or skipped them" in verification["completeness"].detail
    assert len(verification.named("match")) == 8


def test_other_versions_are_named(run: tuple[ip.Explanation, Path]) -> None:
    explanation, store = run
    versions = explanation.provenance["versions"] | {"numpy": "1.0"}
    changed = replace(explanation, provenance=explanation.provenance | {"versions": versions})
    verification = ip.verify(changed, store=store, sample=0)
    assert verification.matches
    assert (
        f"other versions: numpy 1.0 then, {np.__version__} now" in verification["spectrum"].detail
    )


def test_tolerance(run: tuple[ip.Explanation, Path]) -> None:
    explanation, _ = run
    near = ip.FunctionGame(lambda masks: TRUTH.predict(masks) + 0.05, 20, fingerprint="f")
    assert ip.verify(explanation, near, tolerance=0.1)["model"].status == "match"
    assert wrong(ip.verify(explanation, near, tolerance=0.02)) == {"model"}
    assert wrong(ip.verify(explanation, near)) == {"model"}
    for bad in ({"sample": -1}, {"tolerance": -1.0}, {"tolerance": float("nan")}):
        with pytest.raises(ValueError, match="from 0 on"):
            ip.verify(explanation, near, **bad)


def test_the_hash_of_ablations_minds_nothing_but_them() -> None:
    rng = np.random.default_rng(0)
    masks, values = uniform(50, 21, rng), rng.normal(size=50)
    order = rng.permutation(50)
    digest = ablations_digest(masks, values)
    assert digest == ablations_digest(masks[order], values[order])
    assert digest == ablations_digest(np.asfortranarray(masks), values[:, None])
    assert digest != ablations_digest(masks, values[order])
    assert digest != ablations_digest(masks[:49], values[:49])
    assert masks_digest(masks) != masks_digest(masks[order])
    # by hand, as the docstring says
    import hashlib

    by_hand = hashlib.sha256(b"interplay ablations 1: 3 players, 2 outputs\n")
    by_hand.update(bytes([0b001]) + np.array([1.0, 2.0]).tobytes())
    by_hand.update(bytes([0b110]) + np.array([3.0, 4.0]).tobytes())
    two_masks = np.array([[False, True, True], [True, False, False]])
    assert ablations_digest(two_masks, np.array([[3.0, 4.0], [1.0, 2.0]])) == by_hand.hexdigest()


def test_a_store_that_was_damaged_is_an_error(run: tuple[ip.Explanation, Path]) -> None:
    """A change by somebody who does not know the format, or by a failing disk."""
    explanation, store = run
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE ablation SET value = ?", (np.ones(1).tobytes(),))
    before = store.read_bytes()
    with pytest.raises(ip.StoreError, match=r"of the stored ablations of the game .* are damaged"):
        ip.verify(explanation, store=store)
    assert store.read_bytes() == before


def test_a_store_is_audited_in_a_folder_that_stays_as_it_is(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    explanation = ip.explain(game(), decoder="lasso", budget=200, store=store)
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(ip.StoreError, match="is an empty file and not a store"):
        ip.verify(explanation, store=empty)
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert ip.verify(explanation, store=store, sample=0)["store"].status == "match"
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
    assert empty.stat().st_size == 0


def test_a_path_is_no_explanation() -> None:
    with pytest.raises(TypeError, match=r"got 'out/run'; load it by interplay.load"):
        ip.verify("out/run")  # type: ignore[arg-type]
