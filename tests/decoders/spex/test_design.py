"""Designs: never more than the budget, no mask twice, the masks of the paper."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.decoders.spex import design, minimum_budget, plan
from interplay.decoders.spex.decoder import SPEX
from interplay.designs.measures import UNIFORM


@given(
    st.integers(1, 60), st.integers(1, 6000), st.integers(1, 5), st.sampled_from([None, 2, 3, 4])
)
@settings(max_examples=80, deadline=None)
def test_spends_the_budget_and_asks_nothing_twice(
    n: int, budget: int, t: int, n_groups: int | None
) -> None:
    try:
        drawn = design(n, budget, random_state=7, t=t, n_groups=n_groups)
    except ValueError as error:
        least = int(str(error).split("use at least ")[1].split(",")[0])
        assert budget < least
        assert len(design(n, least, random_state=7, t=t, n_groups=n_groups).masks) <= least
        return
    m = len(drawn.masks)
    assert m == (1 << n if drawn.plan.kind == "exact" else budget)
    assert drawn.masks.shape == (m, n)
    assert drawn.masks.dtype == np.bool_
    assert len(np.unique(drawn.masks, axis=0)) == m
    assert drawn.n_coded <= drawn.plan.n_coded


@pytest.mark.parametrize(("n", "budget"), [(30, 5000), (64, 20_000), (12, 1500), (2000, 2000)])
def test_rows_point_at_the_masks_of_the_equation(n: int, budget: int) -> None:
    drawn = design(n, budget, random_state=3)
    for c, b in enumerate(drawn.plan.bits):
        matrix = (drawn.hashes[c][:, None] >> np.arange(b)) & 1
        for delay in (0, 1, len(drawn.delays) - 1):
            for number in (0, 1, (1 << b) - 1):
                bits = (number >> np.arange(b)) & 1
                mask = (matrix @ bits % 2).astype(bool) ^ drawn.delays[delay] ^ drawn.offsets[c]
                assert (drawn.masks[drawn.rows[c][delay, number]] == mask).all()


def test_same_seed_same_bytes() -> None:
    one, two, other = (design(50, 6000, random_state=s) for s in (5, 5, 6))
    assert one.masks.tobytes() == two.masks.tobytes()
    assert one.masks.tobytes() != other.masks.tobytes()


def test_the_papers_design() -> None:
    assert plan(30, 21_504, n_groups=3).bits == (8, 8, 8)
    assert plan(973, 39_168, n_groups=3).bits == (8, 8, 8)
    assert plan(30, 21_504, n_groups=3).n_extra == 0


def test_small_games_get_the_full_table() -> None:
    for n in range(2, 10):
        drawn = design(n, 600)
        assert drawn.plan.kind == "exact"
        assert len(drawn.masks) == 2**n
        assert "exact transform" in str(drawn.plan)


def test_budget_below_the_minimum() -> None:
    with pytest.raises(ValueError, match=r"below the 672 masks .* use at least 672, or decoder="):
        plan(30, 40)
    with pytest.raises(ValueError, match="below the 256 masks of the full table"):
        plan(8, 100)
    assert minimum_budget(30) == 672
    assert minimum_budget(8) == 256
    with pytest.raises(ValueError, match="n_groups >= 2"):
        plan(30, 5000, n_groups=1)


def test_no_player_is_invisible() -> None:
    drawn = design(200, 15_000, random_state=0)
    assert (drawn.hashes > 0).all()


def test_plan_reads_well() -> None:
    text = str(plan(64, 20_000))
    assert "2^8 + 2^8 = 512 bins x 36 delays" in text
    assert "1,568 masks of the next larger code" in text


@pytest.mark.parametrize(("n", "t", "n_groups"), [(12, 2, None), (40, 5, None), (64, 3, 3)])
def test_a_larger_design_starts_with_the_smaller_one(n: int, t: int, n_groups: int | None) -> None:
    budgets = [budget for budget in (900, 1000, 1999, 4000) if budget < 1 << n]
    designs = [design(n, budget, random_state=2, t=t, n_groups=n_groups) for budget in budgets]
    for smaller, larger in pairwise(designs):
        assert (larger.masks[: len(smaller.masks)] == smaller.masks).all()


def test_a_smaller_order_takes_fewer_masks() -> None:
    at_least = [minimum_budget(30, t=t) for t in range(1, 6)]
    assert at_least == [168, 312, 456, 600, 672]
    assert [SPEX.for_order(t).min_masks(30) for t in range(1, 6)] == at_least
    drawn = SPEX.for_order(2).design(UNIFORM, 400, 30, np.random.default_rng(0))
    assert drawn.plan.t == 2
