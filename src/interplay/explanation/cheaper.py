r"""Cheap before dear: what a cheaper game tells of one whose ablations cost more.

A cheaper game c has the same players as the game f: the same model in half precision or without its
last layers, a smaller model, a shorter training. With its weight :math:`\rho`

.. math:: f(m) = \rho\, c(m) + \delta(m),

the recursive form of autoregressive co-kriging (Kennedy and O'Hagan 2000, Le Gratiet and Garnier
2014). Masks are nested: c is evaluated on those of f and on many more. The decoder runs on the many
values of c, and on the differences :math:`\delta` at the masks of f. The spectrum is the sum, and
so is the covariance, since the difference is known exactly where both were evaluated.

The weight. Much of what both games have in common a decoder learns from few ablations anyhow; what
counts is whether c knows what it does not. Errors of predictions that left their mask out are, for
given hyperparameters, linear in the values: those of :math:`f - \rho c` are
:math:`e_f - \rho e_c`. So the weight is a regression of errors on errors,

.. math:: \rho = \frac{\langle e_c, e_f\rangle}{\langle e_c, e_c\rangle + s^2 / \tau^2},

where :math:`s^2` is the mean square of :math:`e_f`, and :math:`\tau`, the ratio of the standard
deviations of the values of f and c, the prior standard deviation of the weight.

Whether to use c at all. The errors of the sum at the masks of the fit, :math:`e_\delta` and
:math:`\rho` times those of c, are compared with :math:`e_f`, mask by mask. If they are not smaller
by :data:`_MARGIN` standard errors, the result is that of f alone, to the last bit. Held-out
ablations of f take no part in this, and c is not fitted to its values there, so the faithfulness
says what it says without a cheaper game.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from interplay._arrays import as_columns, finite_rows
from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.digests import ablations_digest
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import Design, PlainDesign
from interplay.errors import GameError
from interplay.explanation.reading import Ablations
from interplay.explanation.run_plan import RunPlan
from interplay.fourier.biased import total_variance
from interplay.fourier.masks import distinct, keys
from interplay.fourier.spectrum import Spectrum

CHEAPER = "cheaper"
"""The entry of a decoder's diagnosis that says what the cheaper game was worth."""
_MARGIN = 2.0
"""In standard errors. With 1, games that tell little were used now and then, at a loss."""
_FOLDS = 5
"""For decoders whose result has no errors of predictions that left their mask out."""
_COVERAGE = 0.9


def cheaper_masks(plan: RunPlan) -> BoolArray:
    """The masks on which a cheaper game is evaluated: its own, and those of the plan, distinct."""
    assert plan.cheaper is not None
    more = plan.cheaper
    parts = [plan.design.masks, plan.held_out, more.design.masks, more.held_out]
    return distinct(np.concatenate(parts))[0]


@dataclass(frozen=True, eq=False)
class Cheaper:
    """A cheaper game that was evaluated and decoded.

    Attributes:
        ablations: all of them.
        decoded: what was learned of it, in units of its values.
        errors: of predictions of its values that left their mask out, ``(c, k)``; 0 if it was
            evaluated on all masks, since its values are known then; NaN where there is none.
    """

    ablations: Ablations
    decoded: Decoded
    errors: FloatArray

    @classmethod
    def of(cls, plan: RunPlan, ablations: Ablations) -> Cheaper:
        """Decode the values of a cheaper game.

        Args:
            plan: of the game that is explained.
            ablations: of the cheaper game, on :func:`cheaper_masks`.
        """
        assert plan.cheaper is not None
        row_of = {key: row for row, key in enumerate(keys(ablations.masks))}
        chosen, options = plan.cheaper.chosen, plan.cheaper.options
        design: Design = plan.cheaper.design
        is_table = plan.cheaper.chosen is not plan.cheaper.requested
        if not is_table:
            design = design.with_more(plan.cheaper.held_out)
            held_out = set(keys(plan.held_out))
            is_held = np.array([key in held_out for key in keys(design.masks)], dtype=np.bool_)
            design = design.without(np.flatnonzero(is_held & design.representative))
        rows = np.array([row_of[key] for key in keys(design.masks)])
        values = ablations.values[rows]
        # the generators of the plan itself are left as they are without a cheaper game
        rng = np.random.default_rng(np.random.SeedSequence(plan.random_state).spawn(5)[4])
        decoded = run_decoder(chosen, design, values, plan.cheaper.order, rng, options)
        learned = _learned(decoded)
        errors = as_columns(ablations.values - learned.predict(ablations.masks))
        if is_table:
            errors[:] = 0.0
        else:
            (errors[rows],) = _left_out(chosen, design, [(decoded, values)], plan.order, options)
        return cls(ablations, decoded, errors)

    def to_json(self) -> Json:
        """The number of its ablations, and their hash."""
        masks, values = self.ablations.masks, self.ablations.values
        return {"n_ablations": len(masks), "sha256": ablations_digest(masks, values)}

    def decode(
        self,
        decoder: Decoder,
        design: Design,
        values: FloatArray,
        order: int,
        rng: np.random.Generator,
        options: Mapping[str, object],
    ) -> Decoded:
        """Decode values of the dear game with the help of the cheaper one, where it helps.

        The arguments are those of :func:`interplay.decoders.decode.run_decoder`. The design has
        masks of the plan.

        Raises:
            GameError: the cheaper game has another number of outputs.
        """
        # the same random numbers for all, and for the first those without a cheaper game
        again = [deepcopy(rng), deepcopy(rng)]
        row_of = {key: row for row, key in enumerate(keys(self.ablations.masks))}
        rows = np.array([row_of[key] for key in keys(design.masks)])
        cheap_values = self.ablations.values[rows]
        if cheap_values.shape != values.shape:
            outputs = " and the game ".join(
                "one output" if array.ndim == 1 else f"{array.shape[1]} outputs"
                for array in (cheap_values, values)
            )
            raise GameError(f"the cheaper game has {outputs}; score both by the same targets")

        def run(numbers: FloatArray, rng: np.random.Generator) -> Decoded:
            return run_decoder(decoder, design, numbers, order, rng, options)

        def errors_of(*pairs: tuple[Decoded, FloatArray]) -> list[FloatArray]:
            return _left_out(decoder, design, pairs, order, options)

        alone = run(values, rng)
        both = np.hstack([as_columns(values), as_columns(cheap_values)])  # of one prior
        (of_both,) = errors_of((run(both, again[0]), both))
        of_dear, of_cheap = np.hsplit(of_both, 2)
        weights = _weights(of_dear, of_cheap, values, cheap_values)
        shape = values.shape[1:]
        differences = values - cheap_values * weights.reshape(shape)
        rest = run(differences, again[1])
        errors_alone, errors = errors_of((alone, values), (rest, differences))
        errors += weights * self.errors[rows]
        gain, r2_alone, r2_with = _gain(
            errors_alone, errors, as_columns(values), design.representative
        )
        verdict: Json = {
            "used": gain > _MARGIN,
            "weights": weights.tolist(),
            "cv_r2_alone": r2_alone,
            "cv_r2": r2_with,
            "gain_in_standard_errors": gain,
        }
        if not verdict["used"]:
            return replace(alone, diagnosis=alone.diagnosis | {CHEAPER: verdict})
        return self._added(rest, weights.reshape(shape), errors, verdict, as_columns(values))

    def _added(
        self,
        rest: Decoded,
        weights: FloatArray,
        errors: FloatArray,
        verdict: Json,
        values: FloatArray,
    ) -> Decoded:
        """The difference and the cheaper game, weighted, as one result."""
        spectrum = _sum(_weighted(self.decoded.spectrum, weights), rest.spectrum)
        surrogate = None
        if self.decoded.surrogate is not None or rest.surrogate is not None:
            learned = replace(_learned(self.decoded), deviations=None)
            surrogate = _weighted(learned, weights) + _learned(rest)
        diagnosis = rest.diagnosis | {CHEAPER: verdict}
        varies = values.std(axis=0) > 0
        known = finite_rows(errors)
        if "cv_r2" in diagnosis:
            explained = 1.0 - (errors[known] ** 2).mean(axis=0) / np.where(
                varies, values[known].var(axis=0), 1.0
            )
            diagnosis["cv_r2"] = explained[varies].tolist()
        if "prediction_interval" in diagnosis:
            half_width = np.quantile(np.abs(errors[known][:, varies]), _COVERAGE, axis=0)
            diagnosis["prediction_interval"] = half_width.tolist()
        if "share_of_variance_in_spectrum" in diagnosis and surrogate is not None:
            share = total_variance(spectrum, 0.5) / (total_variance(surrogate, 0.5) or 1.0)
            diagnosis["share_of_variance_in_spectrum"] = float(share)
        if "summary" in diagnosis:
            told = diagnosis["summary"]
            diagnosis["summary"] = f"the difference from the cheaper game: {told}"
        for name in ("cv_r2_same_masks", "outputs"):  # of the difference
            diagnosis.pop(name, None)
        residuals = None
        if rest.residuals is not None:
            residuals = errors.reshape(rest.residuals.shape)
        return replace(
            rest,
            spectrum=spectrum,
            surrogate=surrogate,
            diagnosis=diagnosis,
            residuals=residuals,
        )


def in_words(provenance: Json) -> str:
    """What a cheaper game was worth, in a sentence."""
    told = provenance["decoder"]["diagnosis"][CHEAPER]
    n_ablations = provenance[CHEAPER]["n_ablations"]
    alone, with_it = (
        "not known" if told[name] is None else f"{told[name]:.3f}"
        for name in ("cv_r2_alone", "cv_r2")
    )
    if not told["used"]:
        return (
            f"A cheaper game ({n_ablations} ablations) was left out: by cross-validation it did "
            f"not help (R2 {with_it} with it, {alone} without)."
        )
    weights = ", ".join(f"{weight:.2f}" for weight in told["weights"])
    return (
        f"A cheaper game ({n_ablations} ablations) took part with the weight {weights}: "
        f"cross-validated R2 {with_it}, without it {alone}."
    )


def _learned(decoded: Decoded) -> Spectrum:
    return decoded.spectrum if decoded.surrogate is None else decoded.surrogate


def _left_out(
    decoder: Decoder,
    design: Design,
    pairs: Sequence[tuple[Decoded, FloatArray]],
    order: int,
    options: Mapping[str, object],
) -> list[FloatArray]:
    """Errors of predictions that left their mask out, ``(m, k)`` each; NaN where there is none.

    They are the decoder's own, unless one of the results has none. Then all are those of the
    decoders that ran, in the same folds.

    Args:
        decoder: the decoder.
        design: its masks.
        pairs: what it made of values, and these.
        order: the largest order.
        options: its options.
    """
    errors = []
    own = all(decoded.residuals is not None for decoded, _ in pairs)
    for decoded, values in pairs:
        if own and decoded.residuals is not None:
            columns = as_columns(values)
            left_out = as_columns(decoded.residuals).copy()
            left_out[:, np.ptp(columns, axis=0) == 0.0] = 0.0  # a constant is predicted
        else:
            ran = get_decoder(str(decoded.settings.get("picked", decoder.name)))
            of_ran = options if ran is decoder else {}
            left_out = _in_folds(ran, design, values, order, of_ran)
        errors.append(left_out)
    return errors


def _in_folds(
    decoder: Decoder,
    design: Design,
    values: FloatArray,
    order: int,
    options: Mapping[str, object],
) -> FloatArray:
    """Errors of predictions by fits to the other folds, ``(m, k)``; NaN with too few masks."""
    errors = np.full(as_columns(values).shape, np.nan)
    fold_of = np.random.default_rng(0).permutation(len(values)) % _FOLDS
    if (fold_of != 0).sum() < decoder.min_masks(design.masks.shape[1]):
        return errors
    for number in range(_FOLDS):
        fitted, held = fold_of != number, fold_of == number
        part = PlainDesign(design.kind, design.masks[fitted], design.representative[fitted])
        rng = np.random.default_rng(number)
        learned = _learned(run_decoder(decoder, part, values[fitted], order, rng, options))
        errors[held] = as_columns(values[held] - learned.predict(design.masks[held]))
    return errors


def _weights(
    errors: FloatArray, cheap_errors: FloatArray, values: FloatArray, cheap_values: FloatArray
) -> FloatArray:
    """The weight of the cheaper game in each output, ``(k,)``; see the module."""
    known = finite_rows(errors) & finite_rows(cheap_errors)
    dear, cheap = errors[known], cheap_errors[known]
    spread, cheap_spread = as_columns(values).std(axis=0), as_columns(cheap_values).std(axis=0)
    weights = np.zeros(dear.shape[1])
    if not known.any():
        return weights
    for j in np.flatnonzero((spread > 0) & (cheap_spread > 0)):
        unit, cheap_unit = spread[j], cheap_spread[j]
        x, y = cheap[:, j] / cheap_unit, dear[:, j] / unit
        size = float(x @ x + (y @ y) / len(y))
        weights[j] = float(x @ y) / size * unit / cheap_unit if size > 0 else 0.0
    return weights


def _gain(
    alone: FloatArray, errors: FloatArray, values: FloatArray, representative: BoolArray
) -> tuple[float, float | None, float | None]:
    """How much smaller the squared errors are, in standard errors; R2 without and with."""
    known = finite_rows(alone) & finite_rows(errors) & representative
    variances = values[known].var(axis=0) if known.any() else np.zeros(1)
    varies = variances > 0
    if known.sum() < 2 or not varies.any():
        return 0.0, None, None
    before, after = (
        (part[known][:, varies] ** 2 / variances[varies]).mean(axis=1) for part in (alone, errors)
    )
    differences = before - after
    error = float(differences.std(ddof=1)) / sqrt(len(differences))
    gain = float(differences.mean()) / error if error > 0 else 0.0
    return gain, float(1.0 - before.mean()), float(1.0 - after.mean())


def _weighted(spectrum: Spectrum, weights: FloatArray) -> Spectrum:
    """A spectrum times one number for each output."""
    deviations = spectrum.deviations
    return replace(
        spectrum,
        coefficients=spectrum.coefficients * weights,
        deviations=None if deviations is None else deviations * np.abs(weights)[..., None],
    )


def _sum(cheap: Spectrum, rest: Spectrum) -> Spectrum:
    """The sum of two spectra with independent errors; without any where ``rest`` has none."""
    total = replace(cheap, deviations=None) + rest
    if rest.deviations is None:
        return total
    rows = {packed.tobytes(): row for row, packed in enumerate(total.supports)}
    factors = []
    for part in (cheap, rest):
        if part.deviations is not None:
            places = [rows[packed.tobytes()] for packed in part.supports]
            factor = np.zeros((len(total), *part.deviations.shape[1:]))
            factor[places] = part.deviations
            factors.append(factor)
    return replace(total, deviations=np.concatenate(factors, axis=-1))
