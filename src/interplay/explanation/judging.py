"""Judge an explanation: its verdict from its spectrum, its score and its provenance.

``docs/report.md`` gives the reasons for the thresholds.
"""

from __future__ import annotations

from math import floor, isfinite

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, Json
from interplay.designs.measures import SHAPLEY, UNIFORM, Measure, measure_of
from interplay.explanation.extrapolation import missed_ends, misses_the_middle, ranges_of
from interplay.explanation.fairness import ENOUGH_HELD_OUT
from interplay.explanation.faithfulness import Faithfulness, judged_outputs
from interplay.explanation.forecast import NOISY, outlook_of
from interplay.explanation.verdict import ROUNDING, Level, Verdict, VerdictWarning, in_some_output
from interplay.extensions import IndexName
from interplay.fourier.interactions import LEVEL
from interplay.fourier.spectrum import Spectrum

USABLE_LOW = 0.5
"""Usable: the lower end of R2's interval is at least this."""
WIDE = 0.3
"""From this width on the interval of R2 is wide."""


def _judged_on(measure: Measure) -> str:
    return (
        f"It was judged on masks {measure.description}, each by a fit that left it out; what is "
        "shown is fitted to all of them."
    )


def verdict_on(
    spectrum: Spectrum,
    score: Faithfulness,
    provenance: Json,
    ablations: tuple[BoolArray, FloatArray],
    ends: FloatArray | None,
    shown: tuple[IndexName, int],
) -> Verdict:
    """Judge an explanation by its spectrum, score and provenance (see ``Explanation.verdict``).

    Args:
        spectrum: the spectrum that people read.
        score: its faithfulness.
        provenance: what ran.
        ablations: the masks, ``(m, n)``, and values, ``(m,)`` or ``(m, k)``, of the whole run.
        ends: the values of the full and of the empty input.
        shown: the index and the order by which findings are counted, those of reports.
    """
    _, values = ablations
    ranges, description = ranges_of(values), provenance["game"]["description"]
    about = judged_outputs(description, spectrum.n_outputs)
    cross_validated = _cross_validated(provenance, about)
    level = _level(score, cross_validated)
    below = [not (isfinite(r2) and r2 > 0.0) for r2 in score.by_output]
    is_judged = np.zeros(len(below), dtype=bool)
    is_judged[about] = True
    trusted = tuple(
        not bad and not (judged and level == "not usable")
        for judged, bad in zip(is_judged.tolist(), below, strict=True)
    )
    # what the counts are counted with
    judged = Verdict(level, ("",), 0, 0, None, None, None, "", (), ranges, trusted)
    measure = measure_of(provenance["design"]["kind"])
    index, order = shown
    interactions = spectrum.to(index, order=min(order, spectrum.n_players))
    sizes = np.abs(as_columns(interactions.values)) > ROUNDING * np.array(ranges)
    certain = in_some_output(judged.findings(interactions).reshape(sizes.shape)[:, about])
    some_value = sizes[:, about].any(axis=1)
    together, alone = interactions.orders >= 2, interactions.orders == 1
    has_intervals = interactions.high is not None or (score.exact and not _repeats_noise(score))
    counts = [int((some_value & rows).sum()) for rows in (together, alone)]
    known = [int((certain & rows).sum()) if has_intervals else None for rows in (together, alone)]
    if level == "usable" and has_intervals and not any(known):
        level = "weak"
    if level == "usable" and (_negligible(provenance) or _did_not_learn(provenance)):
        level = "weak"
    budget, outlook = outlook_of(level, score, cross_validated, provenance)
    return Verdict(
        level=level,
        reasons=(
            *_reasons(level, score, cross_validated, _of_what(description, is_judged)),
            *([_counted(level, counts, known, score)] if score.known else []),
            *([_judged_on(measure)] if measure != UNIFORM and not score.exact else []),
        ),
        n_interactions=counts[0],
        n_players=counts[1],
        certain_interactions=known[0],
        certain_players=known[1],
        budget=budget,
        outlook=outlook,
        warnings=(
            *_of_score(score, score.by_output[about], ranges[about], values),
            *_of_findings(score, known, has_intervals, level),
            *_of_run(provenance, has_ends=ends is not None),
            *_of_ends(spectrum, measure, ends, ranges),
            *_of_the_middle(score, measure),
        ),
        ranges=ranges,
        trusted=trusted,
    )


def _cross_validated(provenance: Json, about: slice) -> float | None:
    """The decoder's own cross-validated R2, the mean over outputs; ``None`` if it has none."""
    scores = np.atleast_1d(provenance["decoder"]["diagnosis"].get("cv_r2") or []).tolist()
    known = [score for score in scores[about] if score is not None]
    return float(np.mean(known)) if known else None


def _repeats_noise(score: Faithfulness) -> bool:
    """Whether all values are known, but as means of random ones: then R2 = 1 says little."""
    return score.exact and score.varies and (score.noise or 0.0) > ROUNDING


def _level(score: Faithfulness, cross_validated: float | None) -> Level:
    if not score.known:
        return "unknown"
    if score.low <= 0.0:
        return "not usable"
    if score.low < USABLE_LOW:
        return "weak"
    if _repeats_noise(score) and 1.0 - 2.0 * (score.noise or 0.0) < USABLE_LOW:
        return "weak"  # values drawn anew have noise of their own, and so has what predicts them
    few = not score.exact and score.n_masks < ENOUGH_HELD_OUT
    if few and (cross_validated is None or cross_validated < USABLE_LOW):
        return "weak"
    return "usable"


def _of_what(description: Json, is_judged: BoolArray) -> tuple[str, str]:
    """What varies, and over what a score is a mean, in words; empty of one output."""
    count, differs = int(is_judged.sum()), not is_judged.all()
    of = " of the difference" if differs else ""
    return of, f", on average over {count} {'differences' if differs else 'outputs'}" * (count > 1)


def _reasons(
    level: Level, score: Faithfulness, cross_validated: float | None, what: tuple[str, str]
) -> tuple[str, ...]:
    of, mean = what
    if not score.varies:
        same = "difference" if of else "score"
        return (f"The {same} is the same on all {score.n_masks} masks that it is judged on.",)
    if not score.known:
        return ("There is no score to judge it by.",)
    where = f"{'all' if score.exact else 'held-out'} ablations"
    if level == "not usable":
        better = "no better" if score.r2 <= 0.0 else "not demonstrably better"
        return (
            f"It predicts {'the difference on ' if of else ''}{where} {better} than "
            f"{'its' if of else 'their'} mean does{mean} (R2 = {score.r2:.3f}"
            + (
                ""
                if score.exact
                else f", {score.level:.0%} interval {score.low:.3f} to {score.high:.3f}"
            )
            + "): "
            + (
                "only what fresh ablations confirm is a finding."
                if of
                else "no value of it is a finding."
            ),
        )
    ends = f"{_percent(score.low)} to {_percent(score.high)}"
    span = "" if score.exact else f" ({score.level:.0%} interval {ends})"
    sentence = f"It predicts {_percent(score.r2)} of the variation{of} over {where}{mean}{span}"
    if _repeats_noise(score):
        share = f"{score.noise:.0%} of their variance is noise"
        reasons = [f"It repeats all ablations as they were measured, and {share}."]
    elif level == "usable" or score.low >= USABLE_LOW:
        reasons = [f"{sentence}."]
    else:
        reasons = [f"{sentence}; usable would be at least {USABLE_LOW:.0%} at the lower end."]
    few = not score.exact and score.n_masks < ENOUGH_HELD_OUT
    if level == "weak" and score.low >= USABLE_LOW and few:
        second = (
            "this decoder has no cross-validation beside them"
            if cross_validated is None
            else f"its cross-validation says {cross_validated:.3f}"
        )
        reasons.append(f"Only {score.n_masks} masks were held out, and {second}.")
    return tuple(reasons)


def _counted(level: Level, counts: list[int], known: list[int | None], score: Faithfulness) -> str:
    """How many sets and players are distinguishable from zero, in a sentence."""
    total = f"{_number(counts[0], 'interaction')} and {_number(counts[1], 'single player')}"
    if level == "not usable":
        return f"By such a score none of its {total} is taken to differ from zero."
    if known[0] is None:
        return f"Its {total} carry no intervals."
    by = "" if score.exact else f" by their {LEVEL:.0%} intervals, each taken by itself"
    return (
        f"{known[0]} of {_number(counts[0], 'interaction')} and {known[1]} of "
        f"{_number(counts[1], 'single player')} are distinguishable from zero{by}."
    )


def _percent(share: float) -> str:
    """A share in percent, rounded down near 100 %: only what is exact is called that."""
    if 0.99 <= share < 1.0 - ROUNDING:
        return f"{floor(1000 * share) / 10:.1f}%"
    return f"{share:.0%}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _of_score(
    score: Faithfulness,
    by_output: tuple[float, ...],
    ranges: tuple[float, ...],
    values: FloatArray,
) -> list[VerdictWarning]:
    warnings = []

    def warn(code: str, message: str) -> None:
        warnings.append(VerdictWarning(code, message))

    if not score.varies and not any(ranges):
        warn("constant", "The score is the same on all ablations, so there is nothing to explain.")
    elif not score.varies:
        warn("held_out_constant", "The held-out masks all have one score, so there is no R2.")
    elif not score.known:
        warn("no_score", "What was evaluated is no fair sample, so there is no R2.")
    elif score.r2 <= 0.0:
        warn("below_chance", "The mean of the ablations would predict at least as well.")
    elif score.low <= 0.0:
        warn("may_be_chance", "The interval of R2 reaches zero, which is what the mean predicts.")
    n_below = sum(r2 <= 0.0 for r2 in by_output)
    if score.known and score.r2 > 0.0 and n_below:
        warn(
            "outputs_below_chance",
            f"{n_below} of {len(by_output)} outputs are predicted no better than by their mean.",
        )
    if score.known and not score.exact:
        if score.high - score.low > WIDE:
            warn(
                "interval_wide",
                f"R2 is known only to lie in {score.low:.2f} to {score.high:.2f}; a larger holdout "
                "narrows this.",
            )
        if score.n_masks < ENOUGH_HELD_OUT:
            warn(
                "too_few_held_out",
                f"R2 rests on {score.n_masks} held-out masks; from {ENOUGH_HELD_OUT} on its "
                "interval can be relied on.",
            )
    if score.known and score.noise is not None and score.noise >= NOISY:
        warn(
            "noise_bound",
            f"{score.noise:.0%} of the variance is noise, which no explanation predicts.",
        )
    return warnings


def _of_findings(
    score: Faithfulness, known: list[int | None], has_intervals: bool, level: Level
) -> list[VerdictWarning]:
    if not score.known:
        return []
    if not has_intervals:
        message = (
            "There are no intervals (gp gives them), so nothing says which values may be zero."
        )
        return [VerdictWarning("no_intervals", message)]
    if not any(known) and level != "not usable":
        message = "No single player or interaction is distinguishable from zero."
        return [VerdictWarning("nothing_distinguishable", message)]
    return []


def _negligible(provenance: Json) -> list[str]:
    """What to say of scored answers that the model would hardly ever give."""
    scored = (provenance.get("answers") or {}).get("scored") or []
    return [answer["warning"] for answer in scored if answer["warning"]]


def _did_not_learn(provenance: Json) -> list[str]:
    """What to say of a training that changed next to nothing."""
    observed = provenance.get("observed")
    checks = observed.get("checks") if isinstance(observed, dict) else None
    return [
        str(one.get("text"))
        for one in (checks if isinstance(checks, list) else [])
        if isinstance(one, dict) and one.get("name") == "learned" and one.get("warning") is True
    ]


def _of_run(provenance: Json, *, has_ends: bool) -> list[VerdictWarning]:
    budget, decoder = provenance["budget"], provenance["decoder"]
    warnings = []
    if budget["interrupted"]:
        message = (
            f"Interrupted after {budget['spent']:,} of {budget['planned']:,} ablations. They are a "
            "fair sample, so that what is said here is valid, but less certain than was planned; "
            "weaker effects may be missing."
        )
        if budget.get("left_out", 0) > 0:
            message += (
                f" {_number(budget['left_out'], 'further ablation')} had been evaluated, and would "
                "have made the sample unfair."
            )
        warnings.append(VerdictWarning("interrupted", message))
    warnings += [VerdictWarning("negligible_answer", f"{one}.") for one in _negligible(provenance)]
    warnings += [VerdictWarning("did_not_learn", f"{one}.") for one in _did_not_learn(provenance)]
    if budget["skipped"]:
        message = (
            f"{_number(budget['skipped'], 'ablation')} failed and were left out. Ablations do not "
            "fail at random: the score does not speak of those that do."
        )
        if not has_ends:
            message += (
                " The full or the empty input has no value, so SV, k-SII, STII and FSII do not add "
                "up to the difference of the two."
            )
        warnings.append(VerdictWarning("skipped", message))
    picked = "picked" in decoder["settings"] or decoder["ran"] in ("exact", decoder["requested"])
    if not picked:
        message = (
            f"{decoder['requested']} needs all its masks; {decoder['ran']} decoded what there is."
        )
        warnings.append(VerdictWarning("other_decoder", message))
    return warnings


def _of_ends(
    spectrum: Spectrum,
    measure: Measure,
    ends: FloatArray | None,
    ranges: tuple[float, ...],
) -> list[VerdictWarning]:
    """Warn where the whole or the empty input is predicted badly.

    Shapley values and FSII weigh masks of all sizes and both ends, which lie far outside of uniform
    masks. A run with masks of all sizes has them anyway, and its indices pass through the ends.
    """
    if SHAPLEY.ranges[0] in measure.ranges or ends is None:
        return []
    return [
        VerdictWarning(
            f"{name}_input_off",
            f"At the {name} input it predicts {predicted:.3g} where the model gave {actual:.3g}; "
            "indices of masks of all sizes, as SV and FSII, are extrapolated. "
            'measure="shapley" is for them.',
        )
        for name, (predicted, actual) in missed_ends(spectrum, ends, ranges).items()
    ]


def _of_the_middle(score: Faithfulness, measure: Measure) -> list[VerdictWarning]:
    """Warn where masks of half of the players are not what the run is good at."""
    reason = misses_the_middle(score, measure)
    if reason is None:
        return []
    message = (
        "BV, BII, FBII and Fourier coefficients weigh masks of about half of the players; "
        f'{reason}. measure="uniform" is for them.'
    )
    return [VerdictWarning("middle_off", message)]
