"""An image with regions that can be removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json, whole
from interplay.images.fills import Fill, fill_of
from interplay.images.pictures import Pixels, digest, read_image, require_pillow, shown_copy
from interplay.images.regions import Cut, Regions, regions_of

BYTES = 64 << 20
"""The most bytes of the images of a call: what is composed of them in floating point is more."""


@dataclass(frozen=True, eq=False)
class MaskedImage:
    """An image, its regions, and what stands in for those that are removed.

    Attributes:
        image: ``(h, w)`` or ``(h, w, c)``.
        regions: which player each pixel belongs to.
        fill: what stands in for removed regions.
    """

    image: Pixels
    regions: Regions
    fill: Fill

    @classmethod
    def of(cls, image: Any, regions: Cut, fill: str | Fill) -> MaskedImage:
        """Read an image and cut it.

        Raises:
            ValueError: of what reads them.
            MissingDependencyError: pillow is not installed.
        """
        pixels = read_image(image)
        masked = cls(pixels, regions_of(pixels, regions), fill_of(fill))
        other = getattr(masked.fill, "image", pixels)
        if (other.dtype == np.uint8) != (pixels.dtype == np.uint8):
            raise ValueError(
                f"the other image has pixels of {other.dtype}, the image of {pixels.dtype}, so "
                "their units differ; give both as uint8, or both as floating point"
            )
        seeds = None if masked.fill.n_repeats == 1 else np.zeros(1, dtype=np.int64)
        nothing = np.zeros((1, masked.n_players), dtype=np.bool_)
        masked.compose(nothing, seeds)  # what does not fit the image is told now
        require_pillow("the picture of a report")  # and so is a missing package
        return masked

    @property
    def n_players(self) -> int:
        """The number of regions."""
        return len(self.regions)

    @property
    def most(self) -> int:
        """How many images of this size fit into :data:`BYTES`."""
        of_noise = 8 * self.image.size if self.fill.n_repeats > 1 else 0
        return max(1, BYTES // (self.image.nbytes + of_noise))

    @cached_property
    def _whole(self) -> FloatArray:
        image = self.image if self.image.ndim == 3 else self.image[..., None]
        return image.astype(np.float64)

    @cached_property
    def _filled(self) -> Pixels:
        """A fill that is the same for all masks, in the image's shape and type."""
        return self._as_image(self.fill.pixels(self._whole, self.regions, None))

    def _as_image(self, pixels: FloatArray) -> Pixels:
        if self.image.dtype == np.uint8:
            pixels = np.clip(np.rint(pixels), 0, 255)
        return pixels.astype(self.image.dtype).reshape(*pixels.shape[:-3], *self.image.shape)

    def compose(self, masks: BoolArray, seeds: IntArray | None = None) -> Pixels:
        """The image under each mask ``(m, n)``, ``(m, h, w)`` or ``(m, h, w, c)``.

        Args:
            masks: which regions are kept.
            seeds: of a random fill one for each mask, ``(m,)``.
        """
        always = np.ones((len(masks), 1), dtype=np.bool_)
        kept = np.concatenate([masks, always], axis=1)[:, self.regions.labels]
        if self.fill.n_repeats == 1:
            filled = self._filled
        else:
            filled = self._as_image(self.fill.pixels(self._whole, self.regions, seeds))
        if self.image.ndim == 3:
            kept = kept[..., None]
        return np.asarray(np.where(kept, self.image, filled))

    def refined(
        self, chosen: Iterable[int], by: Any
    ) -> tuple[MaskedImage, tuple[tuple[int, ...], ...]]:
        """Cut some regions further.

        Args:
            chosen: the regions to cut.
            by: ``(rows, columns)`` of the grid over the box around each.

        Returns:
            The finer image, and for each region its numbers among the finer ones.

        Raises:
            ValueError: ``by`` is something else.
        """
        try:
            n_rows, n_columns = (whole("by", count) for count in by)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"regions are cut into rows and columns, not by {by!r}; give such as (2, 2)"
            ) from error
        if min(n_rows, n_columns) < 1 or n_rows * n_columns < 2:
            raise ValueError(f"{n_rows} × {n_columns} cuts nothing; give such as (2, 2)")
        finer, children = self.regions.refined(chosen, n_rows, n_columns)
        return replace(self, regions=finer), children

    def describe(self) -> Json:
        """What is shown of the image and its regions, and the fill, as JSON."""
        return {
            "by": self.regions.by,
            "fill": self.fill.describe(),
            "shape": list(self.image.shape),
            "picture": shown_copy(self.image) | self.regions.describe(),
        }

    def identity(self) -> Json:
        """Hashes of the image and its regions, and the fill: what values depend on."""
        return {
            "image": digest(self.image),
            "regions": self.regions.digest(),
            "fill": self.fill.describe(),
        }
