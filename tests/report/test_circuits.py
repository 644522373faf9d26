from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import check
from interplay.components import Pruned, Ranking, compare_circuits
from interplay.explanation.circuits import SeriesJson, check_circuits
from interplay.fourier.spectrum import Spectrum
from interplay.report import circuits
from interplay.report.circuit_tables import as_data, as_rows
from interplay.report.circuits import series_of
from tests.report import pages


def data_of(path: Path) -> Any:
    page = path.read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" class="data">(.*?)</script>', page, re.S)
    assert block is not None
    return json.loads(block[1])


def test_predicted_circuits_are_the_optima_of_the_spectrum() -> None:
    explained = pages.model_of_heads(1, 13)
    recorded = {m.tobytes() for m in explained.ablations.masks}
    best, faithful = series_of(explained, explained.spectrum)
    assert best.sizes.tolist() == faithful.sizes.tolist() == list(range(15))
    spectrum, full = explained.spectrum, explained.full
    assert full is not None
    for size, mask in zip(best.sizes.tolist(), best.masks, strict=True):
        optimum = ip.optimize.best_subset(spectrum, keep=size)
        assert spectrum.predict(mask) == pytest.approx(optimum.value)
    for size, mask in zip(faithful.sizes.tolist(), faithful.masks, strict=True):
        nearest = ip.optimize.best_subset(spectrum, keep=size, target=float(full))
        assert abs(spectrum.predict(mask) - full) == pytest.approx(nearest.distance)
    # measured are both ends and what the run evaluated; there are no other items
    known = [mask.tobytes() in recorded for mask in best.masks]
    assert np.isfinite(best.measured[:, 0]).tolist() == known
    assert not all(known)
    assert spectrum.ends is not None
    assert best.measured[[-1, 0], 0].tolist() == spectrum.ends.tolist()
    assert not best.test_is_known


def test_sizes_of_a_large_model_and_the_same_page_again(tmp_path: Path) -> None:
    explained = ip.load(pages.model_of_heads(3, 5).save(tmp_path / "a.interplay"))
    first, again = (explained.to_html(tmp_path / f"{name}.html") for name in "ab")
    assert first.read_bytes() == again.read_bytes()
    sizes = data_of(tmp_path / "a.html")["circuits"]["series"][0]["sizes"]
    assert sizes == [0, 1, 2, 3, 4, 5, 7, 9, 11, 13, 14, 16, 17, 18]


def test_given_circuits_come_first_with_what_was_measured(tmp_path: Path) -> None:
    explained = pages.model_of_heads()
    given = pages.pruned(explained)
    path = explained.with_circuits(given).to_html(tmp_path / "new" / "a.html")
    shown = data_of(path)["circuits"]
    assert [one["name"] for one in shown["series"]] == [
        "single, measured",
        "Predicted best",
        "Predicted most faithful",
    ]
    one = shown["series"][0]
    assert one["sizes"] == [0, 3, 9, 14]
    ends = explained.spectrum.ends
    assert ends is not None
    assert shown["ends"] == [[ends[0]], [ends[1]]]
    assert one["measured"] == [[ends[1]], [given[1].train[0]], [given[2].train[0]], [ends[0]]]
    assert one["test"] == [[None], [given[1].test[0]], [given[2].test[0]], [given[0].test[0]]]
    assert one["low"] == [[None], [given[1].low[0]], [given[2].low[0]], [None]]
    assert one["whole"] == [given[0].test[0]]
    # the last one of a method and size counts
    later = replace(given[1], train=given[1].train + 1.0)
    (first, *_) = series_of(explained.with_circuits([*given, later]), explained.spectrum)
    assert first.measured[1] == later.train


def test_circuits_that_were_compared_have_their_faithfulness_on_other_items(tmp_path: Path) -> None:
    explained = pages.model_of_heads()
    items = pages.ItemsOf(explained, np.array([0.5, 1.5, 2.0]))
    ranking = Ranking(np.arange(14.0), cost=15)
    comparison = compare_circuits(items, {"<b>": ranking}, fractions=(0.1, 0.2, 0.25, 0.5, 1.0))
    path = explained.with_circuits(comparison).to_html(tmp_path / "a.html")
    best, faithful, *_ = data_of(path)["circuits"]["series"]
    judged = comparison.of("<b>")
    assert best["name"] == f"<b>, CPR {judged.cpr}"
    assert faithful["name"] == f"<b>, CMD {judged.cmd}"
    assert best["sizes"] == faithful["sizes"] == [1, 2, 3, 7, 14]
    assert best["test"] == judged.scores[0].tolist()
    assert faithful["test"] == judged.scores[1].tolist()
    assert [best["nothing"], best["whole"]] == comparison.ends.tolist()
    other = pages.ItemsOf(pages.model_of_heads(1, 5, 20), np.ones(2))
    ranking = Ranking(np.arange(6.0), cost=7)
    with pytest.raises(ValueError, match="6 players and 1 scores; the explanation has 14 and 1"):
        explained.with_circuits(compare_circuits(other, {"a": ranking})).to_html(path)


def test_the_error_of_predictions_is_that_of_held_out_masks_of_about_the_size() -> None:
    explained = pages.model_of_heads()
    best = series_of(explained, explained.spectrum)[0]
    data = as_data(explained, [best])
    assert data is not None
    held = explained.held_out
    off = explained.spectrum.predict(held.masks) - held.values
    sizes = held.masks.sum(axis=1)
    for size, error in zip(best.sizes, data["series"][0]["errors"], strict=True):
        nearest = np.argsort(abs(sizes - size), kind="stable")[:20]
        assert error[0] == pytest.approx(np.sqrt((off[nearest] ** 2).mean()))
    every = np.concatenate([held.masks, explained.fit.masks]).sum(axis=1)
    assert (data["low"], data["high"]) == (every.min(), every.max())


def test_the_table_without_a_script_tells_predicted_from_measured(tmp_path: Path) -> None:
    explained = pages.model_of_heads()
    page = explained.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    table = page.split("<h2>Circuits</h2>")[1].split("</table>")[0]
    assert table.count("not measured") == len(re.findall("<tr>", table)) - 3  # the head, both ends
    series = series_of(explained, explained.spectrum)
    ends = explained.spectrum.ends
    assert ends is not None
    for row in as_rows(explained, explained.spectrum, series):
        value = row["measured"] if np.isfinite(row["measured"]) else row["predicted"]
        assert row["share"] == pytest.approx((value - ends[1]) / (ends[0] - ends[1]))
        assert f"{row['predicted']:.4g}" in table
    measured = explained.with_circuits(pages.pruned(explained)).to_html(tmp_path / "b.html")
    table = measured.read_text(encoding="utf-8").split("<h2>Circuits</h2>")[1].split("</table>")[0]
    assert "not measured" not in table
    assert "On other items" in table


def test_an_explanation_that_predicts_nothing_proposes_no_circuits(tmp_path: Path) -> None:
    explained = pages.model_of_heads()
    rng = np.random.default_rng(0)
    held = replace(explained.held_out, values=rng.normal(size=len(explained.held_out)))
    noise = ip.FunctionGame(lambda masks: np.sin(1e4 * (masks @ np.arange(1.0, 31.0))), 30)
    wrong = ip.explain(noise, decoder="lasso", budget=120)
    hopeless = replace(
        explained, faithfulness=wrong.faithfulness, provenance=explained.provenance, held_out=held
    )
    assert hopeless.verdict.level == "not usable"
    assert series_of(hopeless, hopeless.spectrum) == ()
    page = hopeless.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<h2>Circuits</h2>" not in page
    assert data_of(tmp_path / "a.html")["circuits"] is None
    # what was measured is shown all the same
    assert len(series_of(hopeless.with_circuits(pages.pruned(explained)), hopeless.spectrum)) == 1


def test_no_circuits_of_words_and_components_are_proposed(tmp_path: Path) -> None:
    explained = pages.model_of_heads()
    description = explained.provenance["game"]["description"]
    units = [[] if player < 3 else units for player, units in enumerate(description["units"])]
    game = explained.provenance["game"] | {"description": description | {"units": units}}
    joint = replace(explained, provenance=explained.provenance | {"game": game})
    shown = data_of(joint.to_html(tmp_path / "a.html"))
    assert shown["view"]["others"] == [0, 1, 2]
    assert shown["circuits"] is None


def test_circuits_of_another_game_are_refused(tmp_path: Path) -> None:
    explained = pages.model_of_heads()
    wrong = pages.pruned(pages.model_of_heads(2, 9))
    with pytest.raises(ValueError, match=r"shape \(20,\).*has 14 players and 1 outputs"):
        explained.with_circuits(wrong).to_html(tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_a_long_spectrum_is_searched_by_its_strongest_terms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explained = pages.model_of_heads(2, 9)
    monkeypatch.setattr(circuits, "_SHARES", (0.2, 0.5))
    seen: list[int] = []

    def counted(spectrum: Spectrum, **settings: Any) -> Any:
        seen.append(len(spectrum))
        return ip.optimize.best_subset(spectrum, **settings)

    monkeypatch.setattr(circuits, "_MOST_TERMS", 20)
    monkeypatch.setattr(circuits, "best_subset", counted)
    series_of(explained, explained.spectrum)
    assert max(seen) <= 21


def test_measured_circuits_are_saved_loaded_and_audited(tmp_path: Path) -> None:
    game = ip.FunctionGame(
        lambda masks: masks @ np.arange(12.0) + 3.0 * (masks[:, 1] & masks[:, 2]),
        12,
        fingerprint="circuits",
    )
    store = tmp_path / "runs.db"
    explained = ip.explain(game, budget=100, store=store, progress=False)
    masks = explained.held_out.masks[:3]
    unknown = np.array([np.nan])
    given = [
        Pruned("a", mask, np.ravel(value), unknown, unknown, unknown)
        for mask, value in zip(masks, explained.held_out.values[:3], strict=True)
    ]
    path = explained.with_circuits(given).save(tmp_path / "a.interplay")
    loaded = ip.load(path)
    (one,) = loaded.circuits
    (before,) = explained.with_circuits(given).circuits
    assert np.array_equal(one.masks, before.masks)
    assert np.array_equal(one.measured, before.measured)
    assert np.isnan(one.test).all()
    first, again = (e.to_html(tmp_path / f"{e.game is None}.html") for e in (loaded, loaded))
    assert first.read_bytes() == again.read_bytes()
    check = {c.name: c for c in ip.verify(loaded, store=store, sample=0).checks}["circuits"]
    assert check.status == "match"
    without = {c.name: c for c in ip.verify(loaded, sample=0).checks}["circuits"]
    assert without.status == "match"  # they are among the run's own ablations
    wrong = replace(one, measured=one.measured + 1e-3)
    forged = replace(loaded, circuits=(wrong,))
    check = {c.name: c for c in ip.verify(forged, store=store, sample=0).checks}["circuits"]
    assert check.status == "mismatch"
    elsewhere = replace(one, masks=~one.masks)
    lost = replace(loaded, circuits=(elsewhere,))
    check = {c.name: c for c in ip.verify(lost, sample=0).checks}["circuits"]
    assert check.status in ("not checked", "mismatch")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("kept", [[2, 1]], "ascending numbers"),
        ("kept", [[14]], "ascending numbers"),
        ("test", [[1.0, 2.0]], r"circuits\[0\].test has 1 entries"),
        ("whole", [], r"circuits\[0\].whole has 0 scores"),
        ("measured", [["x"]], "measured"),
    ],
)
def test_damaged_circuits_are_refused(entry: str, value: Any, message: str) -> None:
    record = (
        pages.model_of_heads()
        .with_circuits(pages.pruned(pages.model_of_heads(), (3,)))
        .circuits[0]
        .to_json()
    )
    one = {"kept": [record["kept"][0]]} | {
        name: [record[name][0]] for name in ("measured", "test", "low", "high")
    }
    broken = record | one | {entry: value}

    def checks() -> None:
        check([broken], list[SeriesJson], "circuits")
        check_circuits([broken], 14, 1)

    with pytest.raises(ValueError, match=message):
        checks()
