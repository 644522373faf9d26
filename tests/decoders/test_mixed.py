"""Functions without hierarchy under ``auto``: its design, and what it finds by the code in it."""

from __future__ import annotations

import numpy as np
import pytest

import interplay as ip
from interplay import Spectrum
from interplay.decoders.auto import AUTO
from interplay.decoders.base import Decoded
from interplay.decoders.decode import run_decoder
from interplay.decoders.mixed import mixed_design
from interplay.decoders.spex import CodedDesign, minimum_budget
from interplay.designs.base import PlainDesign
from interplay.designs.measures import SHAPLEY, UNIFORM, Keep, Measure
from interplay.designs.optimal import design_under, optimal_design
from interplay.explanation.faithfulness import r2


def parities(n_players: int, n_terms: int, seed: int) -> Spectrum:
    """Parities of two to five players, whose parts do not matter by themselves."""
    rng = np.random.default_rng(seed)
    sets: set[tuple[int, ...]] = set()
    while len(sets) < n_terms:
        size = int(rng.integers(2, 6))
        sets.add(tuple(sorted(rng.choice(n_players, size, replace=False).tolist())))
    sizes = rng.choice([-1, 1], n_terms) * rng.uniform(0.5, 1.5, n_terms)
    return Spectrum.from_terms(n_players, [(), *sorted(sets)], np.r_[0.7, sizes])


def explained(
    truth: Spectrum, n_masks: int, noise: float, seed: int, measure: Measure = UNIFORM
) -> Decoded:
    design = mixed_design(measure, n_masks, truth.n_players, np.random.default_rng(seed))
    values = truth.predict(design.masks)
    values += noise * values.std() * np.random.default_rng(seed + 1).normal(size=n_masks)
    return run_decoder(AUTO, design, values[:, None], 5, np.random.default_rng(seed), {})


@pytest.mark.parametrize(("measure", "kind"), [(UNIFORM, "optimal"), (SHAPLEY, "flat")])
@pytest.mark.parametrize("n_players", [15, 20, 100])
def test_a_larger_design_starts_with_the_smaller_one(
    n_players: int, measure: Measure, kind: str
) -> None:
    sizes = [100, minimum_budget(n_players) - 1, minimum_budget(n_players), 1300]
    designs = [mixed_design(measure, size, n_players, np.random.default_rng(4)) for size in sizes]
    for size, smaller, larger in zip(sizes, designs, [*designs[1:], designs[-1]], strict=True):
        assert smaller.kind == kind
        assert len(np.unique(smaller.masks, axis=0)) == len(smaller.masks) == size
        assert (larger.masks[:size] == smaller.masks).all()
    assert [isinstance(design, CodedDesign) for design in designs][::2] == [False, True]


@pytest.mark.parametrize("measure", [UNIFORM, SHAPLEY])
def test_small_budgets_have_the_design_of_the_measure(measure: Measure) -> None:
    mixed, optimal = (
        make(measure, 300, 20, np.random.default_rng(5)).masks
        for make in (mixed_design, design_under)
    )
    assert mixed.tobytes() == optimal.tobytes()


def test_what_is_representative_is_the_design_of_the_measure() -> None:
    design = mixed_design(SHAPLEY, 900, 20, np.random.default_rng(6))
    assert isinstance(design, CodedDesign)
    assert not (design.is_coded & design.representative).any()
    counts = np.bincount(design.masks[design.representative].sum(axis=1), minlength=21)[2:-2]
    assert np.ptp(counts) <= 2


def test_near_the_intact_input_there_is_no_code() -> None:
    design = mixed_design(Keep(0.9), 900, 20, np.random.default_rng(6))
    assert isinstance(design, PlainDesign)
    assert design.masks.mean() > 0.8


def test_a_design_without_some_masks_keeps_its_code() -> None:
    design = mixed_design(SHAPLEY, 900, 20, np.random.default_rng(6))
    assert isinstance(design, CodedDesign)
    taken = np.flatnonzero(design.representative)[3:40:2]
    part = design.without(taken)
    again = part.with_more(design.masks[taken])
    for smaller in (part, again):
        for rows, fewer in zip(design.rows, smaller.rows, strict=True):
            assert (design.masks[rows] == smaller.masks[fewer]).all()
    assert len(part.masks) == 900 - len(taken)
    assert again.representative.sum() == design.representative.sum()


def test_rows_point_at_the_masks_of_the_equation() -> None:
    design = mixed_design(UNIFORM, 900, 20, np.random.default_rng(6))
    assert isinstance(design, CodedDesign)
    for c, b in enumerate(design.plan.bits):
        matrix = (design.hashes[c][:, None] >> np.arange(b)) & 1
        for number in range(1 << b):
            place = (number >> np.arange(b)) & 1
            mask = (matrix @ place % 2).astype(bool) ^ design.delays[3] ^ design.offsets[c]
            assert (design.masks[design.rows[c][3, number]] == mask).all()


@pytest.mark.parametrize(
    ("n_players", "noise", "measure"),
    [
        (20, 0.0, UNIFORM),
        (20, 0.5, SHAPLEY),
        (100, 0.0, SHAPLEY),
        pytest.param(1000, 0.5, UNIFORM, marks=pytest.mark.slow),
    ],
)
def test_parities_are_found_at_the_smallest_budget_of_spex(
    n_players: int, noise: float, measure: Measure
) -> None:
    truth = parities(n_players, 3, 1)
    found = explained(truth, minimum_budget(n_players), noise, 2, measure)
    assert found.settings["picked"] == "spex"
    assert "spex was picked by its cross-validated R2" in found.diagnosis["summary"]
    strong = found.spectrum.output(0).truncate(n_terms=3)
    assert set(strong.sets) == set(truth.sets)
    test = np.random.default_rng(7).random((1000, n_players)) < 0.5
    assert r2(truth.predict(test), found.spectrum.predict(test)[:, 0])[0] > 0.95


def test_noise_alone_is_not_taken_for_parities() -> None:
    for seed in range(3):
        design = mixed_design(UNIFORM, 672, 20, np.random.default_rng(seed))
        values = np.random.default_rng(seed + 10).normal(size=(672, 1))
        found = run_decoder(AUTO, design, values, 5, np.random.default_rng(seed), {})
        assert found.settings["picked"] != "spex"


def test_coded_masks_serve_other_decoders() -> None:
    """A hierarchical function on SPEX's masks: gp predicts about as well as on its own."""
    rng = np.random.default_rng(0)
    singles = [(i,) for i in range(20)]
    pairs = [(0, 1), (1, 2), (0, 3)]
    truth = Spectrum.from_terms(20, [*singles, *pairs], rng.normal(size=23))
    design = ip.spex.design(20, 672, random_state=1)
    values = truth.predict(design.masks) + 0.3 * rng.normal(size=672)
    test = rng.random((1000, 20)) < 0.5
    own = optimal_design(672, 20, np.random.default_rng(1))
    own_values = truth.predict(own.masks) + 0.3 * rng.normal(size=672)
    for decoder in ("gp", "proxyspex"):
        found = ip.decode(design, values, decoder=decoder)
        on_own = ip.decode(own.masks, own_values, decoder=decoder)
        reached, usual = (
            r2(truth.predict(test), spectrum.predict(test))[0] for spectrum in (found, on_own)
        )
        assert reached > usual - 0.01


def test_without_the_design_the_code_is_not_used() -> None:
    design = mixed_design(UNIFORM, 672, 20, np.random.default_rng(2))
    plain = PlainDesign(design.kind, design.masks)
    values = parities(20, 3, 1).predict(design.masks)[:, None]
    found = run_decoder(AUTO, plain, values, 5, np.random.default_rng(2), {})
    assert set(found.settings["cv_r2_of_each"]) == {"gp", "proxyspex"}
