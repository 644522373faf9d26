"""ImageGame: the regions of an image as players, a model's score as the value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json, whole
from interplay.fourier.masks import as_masks
from interplay.images.fills import Fill
from interplay.images.masked import MaskedImage
from interplay.images.pictures import Pixels
from interplay.images.regions import Cut
from interplay.images.scoring import Scoring, Target

_CODE_VERSION = 1
"""Part of the fingerprint: increased when a change of the code changes values."""


class ImageGame:
    """How a model's score of an image depends on its regions.

    A mask removes regions: in their place is the fill. The value is the model's score of that
    image. With ``fill="noise"`` it is a random game, evaluated several times for each mask.

    Args:
        model: takes a batch of images as the given one is, ``(b, h, w, c)`` or ``(b, h, w)`` of
            its type, and returns finite numbers, ``(b,)`` or ``(b, k)``. Scaling to the model's
            size is the model's part. :mod:`interplay.images.classifiers` makes such functions of
            transformers, torch and ONNX models.
        image: a path, a Pillow image or an array; see :func:`interplay.images.pictures.read_image`.
        regions: the players: ``(rows, columns)`` of a grid; about how many superpixels; an array
            ``(h, w)`` of numbers from 0 on, -1 for what is always kept; a mapping of names to boxes
            ``(left, top, right, bottom)`` or masks ``(h, w) bool``; or
            :class:`interplay.images.Regions`.
        fill: ``"mean"``, ``"region_mean"``, ``"blur"`` or ``"noise"``; or :class:`Blur`,
            :class:`Noise`, :class:`Constant`, :class:`Other` with their settings; see
            :mod:`interplay.images.fills`.
        target: which of the model's outputs are explained, by name or number; several are outputs
            of one run. By default the one that is the largest for the image as it is.
        against: an output that is subtracted: "why this and not that".
        outputs: the names of the model's outputs; by default its own, or their numbers.
        fingerprint: identifies the model and all that it depends on, such as ``"model 3.1"``. With
            it values can be stored; without it they are not, unless the model brings one along.
        batch_size: the most images in one call of the model; fewer if they are large.

    Raises:
        ValueError: no image, regions that do not fit it, an unknown output, or a model that
            returns something else than numbers for each image.
        MissingDependencyError: pillow is not installed.

    Example:
        >>> import numpy as np
        >>> from interplay.images import Constant, ImageGame
        >>> def both_halves(images):
        ...     bright = images.mean(axis=2) > 0.5
        ...     return bright[:, 0].astype(float) * bright[:, 1]
        >>> game = ImageGame(
        ...     both_halves, np.ones((2, 4)), regions=(2, 1), fill=Constant(0.0)
        ... )
        >>> game.players
        ('row 1, column 1', 'row 2, column 1')
        >>> game(np.array([[True, True], [True, False], [False, False]]))
        array([1., 0., 0.])
    """

    def __init__(
        self,
        model: Callable[[Pixels], Any],
        image: Any,
        *,
        regions: Cut = (4, 4),
        fill: str | Fill = "mean",
        target: Target = None,
        against: str | int | None = None,
        outputs: Sequence[str] | None = None,
        fingerprint: str | None = None,
        batch_size: int = 32,
    ) -> None:
        self.masked = MaskedImage.of(image, regions, fill)
        self._most = whole("batch_size", batch_size, 1)
        self._scoring = Scoring(
            model,
            (self.masked.image[None].copy(),),  # a model may write into its input
            outputs=outputs,
            target=target,
            against=against,
            fingerprint=fingerprint,
        )

    @property
    def n_players(self) -> int:
        """The number of regions."""
        return self.masked.n_players

    @property
    def players(self) -> tuple[str, ...]:
        """The regions' names."""
        return self.masked.regions.names

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what is explained."""
        return self._scoring.outputs

    @property
    def n_repeats(self) -> int:
        """How often each mask is evaluated: above 1 if the fill is drawn at random."""
        return self.masked.fill.n_repeats

    @property
    def batch_size(self) -> int:
        """How many images a call of the model has at most."""
        return min(self._most, self.masked.most)

    def __call__(self, masks: BoolArray, /, *seeds: IntArray) -> FloatArray:
        """Scores ``(m,)``, or ``(m, k)`` for k outputs, of masks ``(m, n)``."""
        masks = as_masks(masks, self.n_players)
        return self._scoring.values(masks, seeds, self.batch_size, self._scores)

    def _scores(self, masks: BoolArray, seeds: IntArray | None) -> FloatArray:
        """The scores of a batch, ``(b, k)``."""
        return self._scoring(self.masked.compose(masks, seeds))

    def image_under(self, mask: BoolArray) -> Pixels:
        """The image that the model gets under one mask ``(n,)``; noise is drawn with the seed 0."""
        seeds = None if self.n_repeats == 1 else np.zeros(1, dtype=np.int64)
        return np.asarray(self.masked.compose(as_masks(mask[None], self.n_players), seeds)[0])

    def refined(
        self, chosen: Iterable[int], by: Any
    ) -> tuple[ImageGame, tuple[tuple[int, ...], ...]]:
        """Make the same game with some regions cut into finer ones.

        Args:
            chosen: the regions to cut; the others stay as they are.
            by: ``(rows, columns)`` of the grid over the box around each.

        Returns:
            The finer game, and for each region of this one its numbers in the finer one.
        """
        game = copy(self)
        game.masked, children = self.masked.refined(chosen, by)
        return game, children

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """Return the masks' order of evaluation, ``(m,)``: any will do here."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """Count the images that the model is asked for, ``(m,)``."""
        return np.full(len(masks), float(self.n_repeats))

    def describe(self) -> Json:
        """Describe the image with its regions, the fill and the model as JSON."""
        return (
            {"lens": "images", "view": {"kind": "image", "title": "The image"}}
            | self.masked.describe()
            | self._scoring.describe()
        )

    @property
    def fingerprint(self) -> str | None:
        """A hash of what identifies the model, of the image, its regions, the fill and the target.

        ``None`` if nothing identifies the model.
        """
        return self._scoring.fingerprint({"images": _CODE_VERSION} | self.masked.identity())

    def __repr__(self) -> str:
        return f"ImageGame({self._scoring.model_name}, n_players={self.n_players})"
