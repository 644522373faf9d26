"""Fills: what stands in the place of a removed region.

None of them is "nothing": a grey square is something that a model has hardly ever seen, a blurred
one leaves the colours, another image brings things of its own. An effect is one against the fill.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from interplay._types import FloatArray, IntArray, Json, whole
from interplay.extensions import unknown
from interplay.game import MOST_REPEATS
from interplay.images.pictures import Pixels, digest, read_image
from interplay.images.regions import Regions

FillName: TypeAlias = str
NAMES = ("mean", "region_mean", "blur", "noise")
"""``"mean"``: the mean colour of the image; ``"region_mean"``: of each region its mean colour;
``"blur"``: :class:`Blur`; ``"noise"``: :class:`Noise`."""
_BLUR = 20
"""The image's longer side by the standard deviation of the default blur."""


class Fill(Protocol):
    """What stands in the place of removed regions."""

    @property
    def n_repeats(self) -> int:
        """How often each mask is evaluated; above 1 for a fill that is drawn at random."""
        ...

    def pixels(self, image: FloatArray, regions: Regions, seeds: IntArray | None) -> FloatArray:
        """The fill of the whole image.

        Args:
            image: ``(h, w, c)``.
            regions: its regions.
            seeds: of a random fill one seed for each mask, ``(m,)``; otherwise ``None``.

        Returns:
            ``(h, w, c)`` for all masks, or ``(m, h, w, c)``.
        """
        ...

    def describe(self) -> Json:
        """The settings, for the provenance and the fingerprint."""
        ...


@dataclass(frozen=True)
class Mean:
    """The mean colour of the image."""

    n_repeats = 1

    def pixels(self, image: FloatArray, regions: Regions, seeds: IntArray | None) -> FloatArray:
        """As of :class:`Fill`."""
        return np.broadcast_to(image.mean(axis=(0, 1)), image.shape)

    def describe(self) -> Json:
        """Its name."""
        return {"kind": "mean"}


@dataclass(frozen=True)
class RegionMean:
    """Of each region its mean colour, which takes the texture and leaves the layout of colours."""

    n_repeats = 1

    def pixels(self, image: FloatArray, regions: Regions, seeds: IntArray | None) -> FloatArray:
        """As of :class:`Fill`."""
        numbers = (regions.labels + 1).ravel()
        sums = [np.bincount(numbers, channel) for channel in image.reshape(len(numbers), -1).T]
        means = np.stack(sums, axis=1) / np.maximum(np.bincount(numbers), 1)[:, None]
        return np.asarray(means[regions.labels + 1])

    def describe(self) -> Json:
        """Its name."""
        return {"kind": "region_mean"}


@dataclass(frozen=True)
class Blur:
    """The image behind a Gaussian blur.

    Attributes:
        sigma: the standard deviation in pixels; by default a twentieth of the longer side, which
            leaves colours and large shapes.
    """

    sigma: float | None = None
    n_repeats: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.sigma is None:
            return
        if not isinstance(self.sigma, int | float | np.number) or not 0 < self.sigma < np.inf:
            raise ValueError(f"sigma={self.sigma!r} is no finite number above 0; give pixels")
        object.__setattr__(self, "sigma", float(self.sigma))  # 2 and 2.0 are one fill

    def pixels(self, image: FloatArray, regions: Regions, seeds: IntArray | None) -> FloatArray:
        """As of :class:`Fill`."""
        from scipy import ndimage

        sigma = max(image.shape[:2]) / _BLUR if self.sigma is None else self.sigma
        return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest"))

    def describe(self) -> Json:
        """Its name and width."""
        return {"kind": "blur", "sigma": self.sigma}


@dataclass(frozen=True)
class Noise:
    """Pixels drawn at random, anew for each mask and repeat: the game is a random one.

    Each pixel and channel is drawn from the normal distribution with the channel's mean and
    standard deviation in the image. Values are means over the repeats, and the spread of these
    tells how much of a game's variation is noise.

    Attributes:
        n_repeats: how often each mask is evaluated, at least twice.
    """

    n_repeats: int = 4

    def __post_init__(self) -> None:
        if not 2 <= whole("n_repeats", self.n_repeats) <= MOST_REPEATS:
            raise ValueError(
                f"n_repeats={self.n_repeats} of the noise; 2 to {MOST_REPEATS:,} are expected, "
                "since a single draw does not tell how much of a value is noise"
            )

    def pixels(self, image: FloatArray, regions: Regions, seeds: IntArray | None) -> FloatArray:
        """As of :class:`Fill`."""
        if seeds is None:
            raise ValueError(
                "the fill is drawn at random, so each mask needs a seed; explain the game, or call "
                "it by interplay.game.call(game, masks, n_repeats)"
            )
        mean, spread = image.mean(axis=(0, 1)), image.std(axis=(0, 1))
        draws = [np.random.default_rng(int(seed)).standard_normal(image.shape) for seed in seeds]
        return np.asarray(mean + spread * np.stack(draws))

    def describe(self) -> Json:
        """Its name; repeats are no part of what a single value is."""
        return {"kind": "noise"}


@dataclass(frozen=True)
class Constant:
    """One colour.

    Attributes:
        colour: a number for each channel, or one for all, in the units of the image's pixels:
            ``(0, 0, 0)`` is black.
    """

    colour: float | tuple[float, ...]
    n_repeats: int = field(default=1, init=False)

    def pixels(self, image: FloatArray, regions: Regions, seeds: IntArray | None) -> FloatArray:
        """As of :class:`Fill`."""
        colour = np.array(self._numbers)
        if colour.shape not in ((1,), image.shape[2:]) or not np.isfinite(colour).all():
            raise ValueError(
                f"colour={self.colour!r} for an image of {image.shape[2]} channels; give one "
                "finite number, or one for each channel"
            )
        return np.broadcast_to(colour, image.shape)

    def describe(self) -> Json:
        """Its colour."""
        return {"kind": "constant", "colour": self._numbers}

    @property
    def _numbers(self) -> list[float]:
        try:
            return [float(number) for number in np.atleast_1d(np.asarray(self.colour, np.float64))]
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"colour={self.colour!r} is no number; give one, or one for each channel, in the "
                "units of the image's pixels"
            ) from error


@dataclass(frozen=True, eq=False)
class Other:
    """Another image, of the same size: what is removed is what the other image has there.

    Attributes:
        image: as for :func:`interplay.images.pictures.read_image`; in the units of the image.
    """

    image: Any
    n_repeats: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", read_image(self.image))

    def pixels(self, image: FloatArray, regions: Regions, seeds: IntArray | None) -> FloatArray:
        """As of :class:`Fill`."""
        other: Pixels = self.image if self.image.ndim == 3 else self.image[..., None]
        if other.shape != image.shape:
            raise ValueError(
                f"the other image has the shape {other.shape}, the image {image.shape}; crop or "
                "scale it to the same, such as by PIL.Image.resize"
            )
        return np.asarray(other, dtype=np.float64)

    def describe(self) -> Json:
        """A hash of the image."""
        return {"kind": "image", "sha256": digest(self.image)}


def fill_of(fill: FillName | Fill) -> Fill:
    """The fill of that name, or the fill itself.

    Raises:
        ValueError: there is no such name.
    """
    if not isinstance(fill, str):
        if not hasattr(fill, "pixels"):
            raise ValueError(f"fill={fill!r} is no fill; give one of {', '.join(NAMES)}, or a Fill")
        return fill
    if fill not in NAMES:
        raise unknown("fill", fill, NAMES)
    made: dict[str, Fill] = {
        "mean": Mean(),
        "region_mean": RegionMean(),
        "blur": Blur(),
        "noise": Noise(),
    }
    return made[fill]
