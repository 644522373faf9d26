"""Whether the claimed interval of R2 covers the truth if a run is interrupted, and what that costs.

A run is interrupted at a share of its budget. Its game wants calls of neighbours, as the text lens
does: masks that agree on their first players. The explanation is made from what is known then, and
its interval of R2 is compared with its R2 on 2,000 fresh masks (recorded games: on the 1,500 masks
that were recorded for this). *Before* is how the first version did it: blocks of neighbours from
all masks, everything that is known decoded and scored. *After* is what ``interplay.explain`` does.

The table has the share of intervals that cover the truth, of the explanations that are given; how
many are given; the mean of what was claimed minus the truth; and the ablations used, as a share of
the budget. ``--small`` does complete runs of a quarter of the budget. ``--direct`` draws held-out
masks for fixed fits: how well and how widely the interval covers, whatever the run. ``--sharing``
prints the tokens that a language model reads with strides and without.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

import interplay as ip
from common import hierarchical
from interplay._arrays import finite_rows
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.ablation.blocks import cut
from interplay.ablation.table import Evaluated
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.explanation.derive import derive
from interplay.explanation.fairness import fair_order, fair_rows
from interplay.explanation.faithfulness import Faithfulness, faithfulness, interval, r2
from interplay.explanation.run_plan import MIN_HELD_OUT, Request, RunPlan
from interplay.fourier.masks import sorted_by_prefix, uniform
from interplay.fourier.spectrum import Spectrum
from record_games import N_ORDERS, orders, own, read

DECODERS = ("auto", "gp", "proxyspex", "lasso", "spex")
STOPS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Shares of the budget at which runs are interrupted; 1: the run is complete."""
N_FRESH = 2000
RECORDED = ("deposit-20", "review-20", "review-22")
PLANTED = ((20, 400), (40, 600))
"""Players and budget of planted functions; SPEX has three times the budget."""
BATCH = 32


@dataclass(frozen=True)
class Neighbours:
    """A stand-in for a text game: only its players and the calls that it wants matter here."""

    n_players: int
    batch_size: int = BATCH
    fingerprint: str | None = None

    @property
    def players(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.n_players)))

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return sorted_by_prefix(masks)

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return masks.sum(axis=1).astype(float)

    def describe(self) -> Json:
        return {"lens": None}

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Case:
    """A run plan, the values of its masks, and fresh masks with theirs."""

    game: Neighbours
    plan: RunPlan
    values: FloatArray
    fresh: BoolArray
    fresh_values: FloatArray


def planted(decoder: str, n_players: int, budget: int, seed: int) -> Case:
    """A function like a language model's, with noise that is a tenth of its spread.

    The players that matter most come first, as where a text begins with what it is about.
    """
    rng = np.random.default_rng(seed)
    terms = hierarchical(n_players, rng)
    energies = np.zeros(n_players)
    for players, coefficient in zip(terms.sets, terms.coefficients, strict=True):
        energies[list(players)] += coefficient**2
    place = {int(player): at for at, player in enumerate(np.argsort(-energies))}
    truth = Spectrum.from_dict(
        n_players,
        {
            tuple(sorted(place[i] for i in players)): value
            for players, value in zip(terms.sets, terms.coefficients, strict=True)
        },
    )
    game = Neighbours(n_players)
    if decoder == "spex":
        budget = 3 * budget
    plan = Request(decoder=decoder, budget=budget, random_state=seed).run_plan(game)
    fresh = uniform(N_FRESH, n_players, rng, exclude=plan.masks)
    clean, clean_fresh = truth.predict(plan.masks), truth.predict(fresh)
    noise = 0.1 * clean_fresh.std()
    return Case(
        game,
        plan,
        clean + noise * rng.normal(size=clean.shape),
        fresh,
        clean_fresh + noise * rng.normal(size=clean_fresh.shape),
    )


def recorded(decoder: str, name: str, seed: int, alpha: float = 4) -> Case | None:
    """A recorded game, with masks such as the decoder asks for. SPEX's are not recorded."""
    game = read(name)
    n_players = game.n_players
    budget = game.budget(alpha)
    if decoder == "spex":
        return None
    rng = np.random.default_rng(seed)
    n_held = max(MIN_HELD_OUT, budget // 10)
    if decoder in ("auto", "gp"):
        masks, values = own(orders(game, seed + 1)[-1], budget - n_held)
        kind = "optimal"
    else:
        rows = rng.permutation(len(game.masks))[: budget - n_held]
        masks, values, kind = game.masks[rows], game.values[rows], "uniform"
    others = rng.permutation(len(game.held_masks))
    held, fresh = others[:n_held], others[n_held:]
    stand_in = Neighbours(n_players)
    plan = Request(decoder=decoder, budget=budget, random_state=seed).run_plan(stand_in)
    plan = replace(plan, design=PlainDesign(kind, masks), held_out=game.held_masks[held])
    return Case(
        stand_in,
        plan,
        np.concatenate([values, game.held_values[held]]),
        game.held_masks[fresh],
        game.held_values[fresh],
    )


def interrupted(case: Case, share: float, in_strides: bool) -> Evaluated:
    """The values that are known once so much of the budget is spent, to whole calls."""
    masks = case.plan.masks
    order = fair_order(case.plan) if in_strides else np.arange(len(masks))
    known = np.zeros(len(masks), dtype=np.bool_)
    for block in cut(case.game, masks[order], in_strides=in_strides):
        if known.sum() >= share * len(masks) - BATCH / 2:
            break
        known[order[block]] = True
    values = np.where(known, case.values, np.nan)
    return Evaluated(values, None, int(known.sum()), 0, 0, not known.all())


def before(plan: RunPlan, evaluated: Evaluated) -> tuple[Spectrum, Faithfulness] | None:
    """What the first version made of an interrupted run: everything that is known counts."""
    n_fit, values = len(plan.design.masks), evaluated.values
    known = finite_rows(values)
    fit_rows, held_rows = np.flatnonzero(known[:n_fit]), n_fit + np.flatnonzero(known[n_fit:])
    chosen, design = plan.chosen, plan.design
    if not known.all():
        if len(held_rows) < MIN_HELD_OUT:
            rows = plan.fit_rng.permutation(np.flatnonzero(known))
            fit_rows, held_rows = np.split(rows, [-max(MIN_HELD_OUT, len(rows) // 10)])
            fit_rows = np.sort(fit_rows)
        if chosen.most_missing is not None:
            chosen = get_decoder("proxyspex")
        design = PlainDesign("part", plan.masks[fit_rows])
    if len(fit_rows) < chosen.min_masks(plan.masks.shape[1]):
        return None
    order = min(plan.order, chosen.order)
    spectrum = run_decoder(chosen, design, values[fit_rows], order, plan.fit_rng, {}).spectrum
    held_masks = plan.masks[held_rows]
    return spectrum, faithfulness(
        held_masks, values[held_rows], spectrum.predict(held_masks), plan.score_rng
    )


def after(plan: RunPlan, evaluated: Evaluated) -> tuple[Spectrum, Faithfulness] | None:
    """What ``explain`` makes of it."""
    try:
        derived = derive(plan, evaluated)
    except (KeyboardInterrupt, ip.GameError):
        return None
    return derived.decoded.spectrum, derived.score


def cases(decoder: str, seeds: range, quarter: bool = False) -> Iterator[Callable[[], Case | None]]:
    """Make cases, each anew whenever called: a plan's generators can be used once."""
    alpha = 1 if quarter else 4
    for seed in seeds:
        for n_players, budget in PLANTED:
            part = budget * alpha // 4
            yield lambda n=n_players, b=part, s=seed: planted(decoder, n, b, s)
        for name in RECORDED:
            if seed < N_ORDERS or decoder not in ("auto", "gp"):  # so many designs are recorded
                yield lambda name=name, s=seed: recorded(decoder, name, s, alpha)


@dataclass
class Tally:
    """What became of the interrupted runs of one kind."""

    runs: int = 0
    given: int = 0
    covered: int = 0
    excess: float = 0.0
    used: float = 0.0

    def add(self, case: Case, made: tuple[Spectrum, Faithfulness] | None, used: int) -> None:
        self.runs += 1
        if made is None:
            return
        spectrum, score = made
        truth = float(r2(case.fresh_values, spectrum.predict(case.fresh))[0])
        self.given += 1
        self.covered += score.low <= truth <= score.high
        # far below zero, by how much means nothing
        self.excess += max(score.r2, -1.0) - max(truth, -1.0)
        self.used += used / len(case.plan.masks)

    def __str__(self) -> str:
        if not self.given:
            return f"{'none given':>26}"
        return (
            f"{self.covered / self.given:8.0%} {self.given:3d}/{self.runs:<3d} "
            f"{self.excess / self.given:+6.2f} {self.used / self.given:5.0%}"
        )


def coverage(decoder: str, seeds: range) -> None:
    """Print a line for each point of interruption."""
    for share in STOPS:
        tallies = {"before": Tally(), "after": Tally()}
        for make in cases(decoder, seeds):
            for name, decode in (("before", before), ("after", after)):
                case = make()
                if case is None:
                    continue
                evaluated = interrupted(case, share, name == "after")
                made = decode(case.plan, evaluated)
                n_used = evaluated.n_new
                if name == "after" and made is not None:
                    n_used = n_fair(make(), evaluated)
                tallies[name].add(case, made, n_used)
        print(f"{decoder:10} {share:5.0%}  {tallies['before']}  {tallies['after']}", flush=True)


def small(decoder: str, seeds: range) -> None:
    """Print a line for complete runs of a quarter of the budget."""
    tally = Tally()
    for make in cases(decoder, seeds, quarter=True):
        case = make()
        if case is not None:
            evaluated = interrupted(case, 1.0, in_strides=True)
            tally.add(case, after(case.plan, evaluated), len(case.plan.masks))
    print(f"{decoder:10} {'whole':>5}  {'':26}  {tally}", flush=True)


def n_fair(case: Case | None, evaluated: Evaluated) -> int:
    """How many of the known masks ``explain`` uses."""
    assert case is not None
    return int(fair_rows(case.plan, evaluated).sum())


def populations() -> Iterator[tuple[FloatArray, FloatArray]]:
    """Values and predictions of many fresh masks, of fits of all qualities."""
    for decoder in ("lasso", "proxyspex"):
        for quarter in (True, False):
            for make in cases(decoder, range(4), quarter):
                case = make()
                if case is not None:
                    n_fit = len(case.plan.design.masks)
                    spectrum = ip.decode(
                        case.plan.design.masks, case.values[:n_fit], decoder=decoder
                    )
                    yield case.fresh_values, spectrum.predict(case.fresh)


def direct(n_draws: int) -> None:
    """Print the coverage and the width of two intervals for numbers of held-out masks."""
    rng = np.random.default_rng(0)
    sides = list(populations())
    print("held out   percentile: covered  width   bootstrap-t: covered  width")
    for n_held in (10, 16, 20, 30, 50, 100, 300):
        covered: dict[str, list[bool]] = {"percentile": [], "bootstrap-t": []}
        widths: dict[str, list[float]] = {"percentile": [], "bootstrap-t": []}
        for values, predictions in sides:
            truth = float(r2(values, predictions)[0])
            for _ in range(n_draws):
                rows = rng.choice(len(values), n_held, replace=False)
                drawn, predicted = values[rows], predictions[rows]
                ends = {
                    "percentile": percentile(drawn, predicted, rng),
                    "bootstrap-t": interval(drawn, predicted, 0.95, rng),
                }
                for name, (low, high) in ends.items():
                    covered[name].append(low <= truth <= high)
                    widths[name].append(high - low)
        print(
            f"{n_held:8d}   {np.mean(covered['percentile']):19.1%} "
            f"{np.median(widths['percentile']):6.2f}   {np.mean(covered['bootstrap-t']):20.1%} "
            f"{np.median(widths['bootstrap-t']):6.2f}",
            flush=True,
        )


def percentile(
    values: FloatArray, predictions: FloatArray, rng: np.random.Generator
) -> tuple[float, float]:
    """The interval of the first version: the percentiles of resampled R2."""
    n_masks = len(values)
    shares = rng.multinomial(n_masks, np.full(n_masks, 1 / n_masks), size=1000) / n_masks
    centred = values - values.mean()
    variance = shares @ centred**2 - (shares @ centred) ** 2
    scores = 1.0 - shares @ (values - predictions) ** 2 / np.maximum(variance, 1e-300)
    low, high = np.quantile(scores, [0.025, 0.975]).tolist()
    return low, high


def sharing() -> None:
    """Print the tokens that are read with strides, relative to blocks of all masks."""
    from bench_throughput import texts
    from interplay.text.inference.trie import build

    model, tokenizer = ip.text.load_model("smollm2", threads=1)
    target = ip.text.LogitDifference(" positive", " negative")
    print("text          fixed words  masks  calls  strides' calls  tokens  with strides")
    for name, text, by, where, prompt in texts():
        game = ip.text.TextGame(model, tokenizer, text, target, by=by, prompt=prompt)
        for n_masks in (100, 400, 2000, 8000):
            masks = uniform(n_masks, game.n_players, np.random.default_rng(1))
            tokens, calls = [], []
            for in_strides in (False, True):
                blocks = cut(game, masks, in_strides=in_strides)
                total = 0
                for rows in blocks:
                    ids = sorted({tuple(row) for row in game._rows(masks[rows]).ids})
                    trie = build(ids, [1] * len(ids))
                    total += trie.size + sum(leaf.stop - leaf.start for leaf in trie.leaves)
                tokens.append(total)
                calls.append(len(blocks))
            print(
                f"{name:<13} {where:<11} {n_masks:6d} {calls[0]:6d} {calls[1]:15d} "
                f"{tokens[0]:7d} {tokens[1] / tokens[0] - 1:+12.1%}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decoders", nargs="+", default=list(DECODERS), choices=DECODERS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--small", action="store_true", help="complete runs of a quarter instead")
    parser.add_argument("--sharing", action="store_true", help="tokens read, instead of coverage")
    parser.add_argument(
        "--direct", action="store_true", help="intervals of numbers of held-out masks, by drawing"
    )
    options = parser.parse_args()
    if options.direct:
        direct(4 * options.seeds)
        return
    if options.sharing:
        sharing()
        return
    print(f"{'':16}  {'before':^26}  {'after':^26}")
    heads = "covered   given excess  used"
    print(f"{'decoder':10} {'at':>5}  {heads:>26}  {heads:>26}")
    for decoder in options.decoders:
        if options.small and decoder == "spex":
            continue  # a quarter is below the least that it needs
        (small if options.small else coverage)(decoder, range(options.seeds))


if __name__ == "__main__":
    main()
