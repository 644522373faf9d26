"""Choose a decoder, check the request, and run it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._arrays import LARGEST, Units, as_columns, finite_rows, real_numbers
from interplay._types import FloatArray, Json, whole
from interplay.decoders.base import Decoded, Decoder
from interplay.decoders.spex.design import CodedDesign
from interplay.designs.base import Design, PlainDesign
from interplay.extensions import DECODERS, DecoderName, nearest
from interplay.fourier.masks import as_masks, distinct
from interplay.fourier.spectrum import Spectrum


def get_decoder(name: str) -> Decoder:
    """Look up the decoder of that name.

    Raises:
        ValueError: there is none.
        TypeError: an installed package gives the name to something else.
    """
    decoder = DECODERS[name]
    if not isinstance(decoder, Decoder):
        raise TypeError(
            f"the entry point {name!r} of {DECODERS.group} names {decoder!r}, which is no Decoder; "
            "correct it in the package that declares it, or remove that package"
        )
    return decoder


def check_request(
    decoder: Decoder,
    order: int | None,
    options: Mapping[str, object],
    arguments: Iterable[str] = (),
) -> int:
    """Refuse what a decoder cannot do, before anything is evaluated.

    Args:
        decoder: the decoder.
        order: the largest order of interaction; ``None``: the decoder's default.
        options: its options.
        arguments: the names of the caller's arguments. An unknown option may be one of them,
            misspelt.

    Returns:
        The largest order to decode: the one that was given, or the decoder's default.

    Raises:
        ValueError: the decoder does not support that order or an option.
    """
    for name, value in options.items():
        if name not in decoder.options:
            is_option = any(name in get_decoder(other).options for other in DECODERS.own)
            raise ValueError(
                f"decoder={decoder.name!r} has no option {name!r}; "
                f"it has {', '.join(decoder.options) or 'none'}"
                if is_option
                else f"{name}={value!r} is neither an argument here nor an option of "
                f"decoder={decoder.name!r}{nearest(name, [*arguments, *decoder.options])}"
            )
        if value not in decoder.options[name]:
            allowed = ", ".join(decoder.options[name])
            raise ValueError(f"{name}={value!r} is unknown; choose one of {allowed}")
    if order is None:
        return decoder.order
    order = whole("order", order)
    if order < 1 or (decoder.max_order is not None and order > decoder.max_order):
        allowed = "at least 1" if decoder.max_order is None else f"1 to {decoder.max_order}"
        raise ValueError(
            f"order={order} is not {allowed}, the orders that decoder={decoder.name!r} does"
            + ("" if order < 1 else '; use decoder="proxyspex" for more')
        )
    return order


def run_decoder(
    decoder: Decoder,
    design: Design,
    values: FloatArray,
    order: int,
    rng: np.random.Generator,
    options: Mapping[str, object],
) -> Decoded:
    """Decode the values of one or of k outputs, each in units of its own (:class:`Units`).

    What is found therefore depends neither on the size of the values nor on an offset.

    Args:
        decoder: the algorithm.
        design: the masks, m of them.
        values: ``(m,)`` or ``(m, k)``.
        order: the largest order, from :func:`check_request`.
        rng: draws folds and seeds.
        options: the decoder's options.

    Raises:
        ValueError: too few masks.
    """
    n_masks, n_players = design.masks.shape
    needed = decoder.min_masks(n_players)
    if n_masks < needed and not isinstance(design, CodedDesign):
        raise ValueError(
            f"{n_masks} masks are below the {needed} that decoder={decoder.name!r} needs for "
            f"{n_players} players"
        )
    order = min(order, n_players)
    decoder.check(n_masks, n_players, order)
    units = Units.of(as_columns(values))
    # in the shape and memory layout that they came in, on which the last bits of sums depend
    numbers = as_columns(units.numbers(as_columns(values)).reshape(values.shape))
    decoded = _in_units(decoder.decode(design, numbers, order, rng, **options), units)
    if values.ndim == 1:
        surrogate = decoded.surrogate
        return replace(
            decoded,
            spectrum=decoded.spectrum.output(0),
            surrogate=None if surrogate is None else surrogate.output(0),
            residuals=None if decoded.residuals is None else decoded.residuals[:, 0],
        )
    return decoded


def _in_units(decoded: Decoded, units: Units) -> Decoded:
    """Convert what was decoded from numbers to the units of the values."""

    def converted(document: Json) -> Json:
        return {
            name: _rescaled(entry, units) if name in decoded.in_units else entry
            for name, entry in document.items()
        }

    return replace(
        decoded,
        spectrum=_spectrum_in_units(decoded.spectrum, units),
        surrogate=None
        if decoded.surrogate is None
        else _spectrum_in_units(decoded.surrogate, units),
        settings=converted(decoded.settings),
        diagnosis=converted(decoded.diagnosis),
        residuals=None
        if decoded.residuals is None
        else np.ldexp(decoded.residuals, units.exponent),
    )


def _rescaled(entries: list[float | None], units: Units) -> list[float | None]:
    """A number for each output, or for each that varies, in the units of the values."""
    sizes = units.size if len(entries) == len(units.size) else units.size[units.varies]
    return [
        None if entry is None else float(entry * size)
        for entry, size in zip(entries, sizes.tolist(), strict=True)
    ]


def _spectrum_in_units(spectrum: Spectrum, units: Units) -> Spectrum:
    if units.offset.any() and not (spectrum.orders == 0).any():
        spectrum = _with_mean(spectrum)
    coefficients = np.ldexp(spectrum.coefficients, units.exponent)
    is_empty = spectrum.orders == 0
    # beside an offset, coefficients of the size of its rounding errors are zeros
    is_noise = (np.abs(coefficients) <= units.noise) & (units.noise > 0) & ~is_empty[:, None]
    coefficients[is_noise] = 0.0
    coefficients[is_empty] += units.offset
    deviations = spectrum.deviations
    if deviations is not None:
        deviations = np.ldexp(deviations, units.exponent[:, None])
        deviations[is_noise] = 0.0
    keep = is_empty | ~is_noise.any(axis=1) | (coefficients != 0.0).any(axis=1)
    return Spectrum(
        spectrum.n_players,
        spectrum.supports[keep],
        coefficients[keep],
        None if deviations is None else deviations[keep],
    )


def _with_mean(spectrum: Spectrum) -> Spectrum:
    """Add the empty set, which comes first, to a spectrum without it."""

    def with_row(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([np.zeros_like(array, shape=(1, *array.shape[1:])), array])

    deviations = spectrum.deviations
    return replace(
        spectrum,
        supports=with_row(spectrum.supports),
        coefficients=with_row(spectrum.coefficients),
        deviations=None if deviations is None else with_row(deviations),
    )


def decode(
    masks: npt.ArrayLike | CodedDesign,
    values: npt.ArrayLike,
    *,
    decoder: DecoderName | str = "auto",
    order: int | None = None,
    random_state: int = 0,
    **options: object,
) -> Spectrum:
    """Recover a sparse spectrum from ablations that were made elsewhere.

    Args:
        masks: ``(m, n) bool``, ``True`` for a player that is kept; or the design of
            ``interplay.spex.design``, which SPEX needs. The values of equal masks are averaged.
        values: ``(m,)``, or ``(m, k)`` for k outputs.
        decoder: ``"auto"``, ``"gp"``, ``"proxyspex"``, ``"spex"``, ``"lasso"`` or ``"exact"``.
        order: the largest order of interaction; by default 5, for LASSO 1.
        random_state: seed of folds and trees; the same seed gives the same spectrum.
        **options: the decoder's options: for SPEX ``decoding="soft"`` or ``"hard"``.

    Raises:
        ValueError: masks and values do not belong together, are not finite, or are too few.
    """
    chosen = get_decoder(decoder)
    design = masks if isinstance(masks, CodedDesign) else PlainDesign("given", as_masks(masks))
    array = design.masks
    numbers = real_numbers(values, "values")
    if numbers.ndim not in (1, 2) or len(numbers) != len(array):
        raise ValueError(
            f"values of shape {numbers.shape} do not belong to masks of shape {array.shape}; "
            f"give ({len(array)},) or ({len(array)}, k)"
        )
    usable = finite_rows(numbers)
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise ValueError(
            f"values[{row}] is {numbers[row]}; values must be finite numbers of at most {LARGEST:g}"
        )
    largest = check_request(chosen, order, options, ARGUMENTS)
    if isinstance(design, PlainDesign):
        # repeats of a mask count as one ablation, so that they do not leak between folds
        unique, inverse = distinct(array)
        total = np.zeros((len(unique), *numbers.shape[1:]))
        np.add.at(total, inverse, numbers)
        counts = np.bincount(inverse, minlength=len(unique))
        numbers = (total.T / counts).T
        design = PlainDesign(design.kind, unique)
    rng = np.random.default_rng(random_state)
    return run_decoder(chosen, design, numbers, largest, rng, options).spectrum


ARGUMENTS = tuple(signature(decode).parameters)
"""The names of the arguments of :func:`decode`."""
