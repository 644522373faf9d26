"""How near the forecast of the budget in ``explanation.verdict`` comes.

Games are explained with growing budgets. Each explanation that is not usable forecasts the budget
that would probably reach an R2 of 0.8. It is compared with the budget at which R2 on
fresh masks does reach 0.8 (between two budgets by interpolation). Printed are the share of
explanations for which there is a forecast, the shares of forecasts within a factor of 2 and of 3,
their median ratio to the truth, and, of games that do not reach it with the largest budget, how
many explanations forecast one that is larger.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import exp, log

import numpy as np

from bench_interruption import RECORDED, Case, planted, recorded
from interplay.ablation.table import Evaluated
from interplay.explanation.derive import derive
from interplay.explanation.faithfulness import r2
from interplay.explanation.forecast import GOAL, outlook_of
from interplay.explanation.judging import USABLE_LOW
from interplay.explanation.provenance import derived_provenance

DECODERS = ("auto", "gp", "proxyspex")
PLAYERS = (20, 30, 46, 70, 100)
GROWTH, STEPS = 2**0.5, 13
RECORDED_ALPHAS = (0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6)
"""Budgets of recorded games, in n log2 n."""


@dataclass
class Tally:
    """Forecasts over true budgets; and what was said where the goal is never reached."""

    weak: int = 0
    ratios: list[float] = field(default_factory=list)
    out_of_reach: list[bool] = field(default_factory=list)

    def __str__(self) -> str:
        ratios = np.array(self.ratios)
        shares = [np.mean(np.abs(np.log(ratios)) <= log(factor)) for factor in (2, 3)]
        right = f"{np.mean(self.out_of_reach):.0%}" if self.out_of_reach else "-"
        return (
            f"{self.weak:5d} {len(ratios) / max(self.weak, 1):9.0%} {shares[0]:9.0%} "
            f"{shares[1]:9.0%} {np.median(ratios):7.2f} {len(self.out_of_reach):13d} {right:>6}"
        )


def games(decoder: str, seeds: range) -> Iterator[list[Callable[[], Case | None]]]:
    """For each game its cases, budgets growing."""
    for n_players in PLAYERS:
        budgets = [round(50 * GROWTH**step) for step in range(STEPS)]
        for seed in seeds:
            yield [lambda b=b, n=n_players, s=seed: planted(decoder, n, b, s) for b in budgets]
    for name in RECORDED:
        yield [lambda a=a, name=name: recorded(decoder, name, 0, a) for a in RECORDED_ALPHAS]


def forecasts(cases: list[Callable[[], Case | None]], tally: Tally) -> None:
    """Explain one game with growing budgets, until R2 is above the goal."""
    said: list[int | None] = []
    reached, last = None, None
    for make in cases:
        case = make()
        assert case is not None
        values = Evaluated(case.values, None, len(case.values), 0, 0, False)
        derived = derive(case.plan, values)
        truth = float(r2(case.fresh_values, derived.decoded.spectrum.predict(case.fresh))[0])
        budget = len(case.values)
        if truth >= GOAL:
            reached = budget
            if last is not None:
                part = log((1 - last[1]) / (1 - GOAL)) / log((1 - last[1]) / (1 - truth))
                reached = round(exp(log(last[0]) + part * log(budget / last[0])))
            break
        last = budget, truth
        if derived.score.known and derived.score.low < USABLE_LOW:
            record = derived_provenance(case.plan, derived)
            scores = record["decoder"]["diagnosis"]["cv_r2"]
            cross_validated = float(np.mean(scores)) if scores else None
            said.append(outlook_of("weak", derived.score, cross_validated, record)[0])
    for advice in said:
        if reached is not None:
            tally.weak += 1
            tally.ratios += [] if advice is None else [advice / reached]
        elif last is not None and advice is not None:
            tally.out_of_reach.append(advice > last[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decoders", nargs="+", default=list(DECODERS), choices=DECODERS)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print("decoder       weak  forecast  within 2  within 3   ratio  out of reach  right")
    for decoder in options.decoders:
        tally = Tally()
        for cases in games(decoder, range(options.seeds)):
            forecasts(cases, tally)
        print(f"{decoder:12} {tally}", flush=True)


if __name__ == "__main__":
    main()
