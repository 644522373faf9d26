"""ImageTextGame: regions of an image and segments of a text as players of one game."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json, whole
from interplay.fourier.masks import as_masks
from interplay.game import cut_at
from interplay.images.fills import Fill
from interplay.images.masked import MaskedImage
from interplay.images.pictures import Pixels
from interplay.images.regions import Cut
from interplay.images.scoring import Scoring, Target
from interplay.text.prompts.build import PLACEHOLDER, mask_prompt
from interplay.text.prompts.masking import Masking, TokenMasking, get_masking
from interplay.text.prompts.resample import Resample
from interplay.text.prompts.segments import Unit

_CODE_VERSION = 1
"""Part of the fingerprint: increased when a change of the code changes values."""


class ImageTextGame:
    """How a score of an image with a text depends on regions and segments, together.

    The first players are the regions, the others the segments. An interaction of a region and a
    word is what the word does with the region: the effect of the region while the word is there,
    less its effect while it is not.

    Args:
        model: takes a batch of images, as of :class:`ImageGame`, and as many texts, a list of
            ``str``; returns finite numbers, ``(b,)`` or ``(b, k)``.
            :func:`interplay.images.from_vision_language` makes such a function of a transformers
            model and its processor.
        image: as of :class:`ImageGame`.
        text: what is ablated of the text.
        by: its players: ``"word"``, ``"sentence"``, ``"line"``, ``"paragraph"``, a compiled pattern
            whose matches they are, or spans.
        prompt: what stands around the text, with ``{text}`` once where it goes, the processor's
            mark of the image included. For a chat, the template applied to a message with
            ``{text}`` in it.
        masking: what becomes of a removed segment: ``"delete"``, ``interplay.text.Replace(text)``
            or ``interplay.text.Swap(...)``.
        fixed: a pattern; segments that overlap one of its matches are always kept.
        regions: as of :class:`ImageGame`.
        fill: likewise.
        target: likewise.
        against: likewise.
        outputs: likewise.
        fingerprint: likewise.
        batch_size: the most images in one call of the model; fewer if they are large.

    Raises:
        ValueError: as of :class:`ImageGame`; nothing to ablate in the text, a prompt without
            ``{text}``, or a masking of tokens or by a model.
        MissingDependencyError: a package is not installed.

    Example:
        >>> import numpy as np
        >>> from interplay.images import Constant, ImageTextGame
        >>> def answer(images, texts):
        ...     asked = np.array(["left" in text for text in texts])
        ...     return asked * images[:, :, :2].mean(axis=(1, 2))
        >>> game = ImageTextGame(
        ...     answer, np.ones((4, 4)), "left or right?", by="word", regions=(1, 2),
        ...     fill=Constant(0.0),
        ... )
        >>> game.players
        ('row 1, column 1', 'row 1, column 2', '"left"', '"or"', '"right?"')
        >>> game(np.array([[True] * 5, [True, True, False, True, True]]))
        array([1., 0.])
    """

    def __init__(
        self,
        model: Callable[[Pixels, list[str]], Any],
        image: Any,
        text: str,
        *,
        by: Unit = "word",
        prompt: str = PLACEHOLDER,
        masking: str | Masking = "delete",
        fixed: re.Pattern[str] | None = None,
        regions: Cut = (4, 4),
        fill: str | Fill = "mean",
        target: Target = None,
        against: str | int | None = None,
        outputs: Sequence[str] | None = None,
        fingerprint: str | None = None,
        batch_size: int = 32,
    ) -> None:
        if not (isinstance(text, str) and isinstance(prompt, str)):
            raise ValueError(
                "the text and the prompt are strings here; of a chat, apply the processor's chat "
                f"template to a message with {PLACEHOLDER} in it, and give the result as prompt"
            )
        removal = get_masking(masking)
        if isinstance(removal, TokenMasking):
            raise ValueError(
                f"masking={masking!r} works on tokens, which a processor makes of image and text "
                'together; use "delete" or interplay.text.Replace(text)'
            )
        if isinstance(removal, Resample):
            raise ValueError(
                "Resample has a model of text write what is removed, and none is at hand here; use "
                '"delete", interplay.text.Replace(text) or interplay.text.Swap(...)'
            )
        self.masked = MaskedImage.of(image, regions, fill)
        self.prompt = mask_prompt(text, prompt, by=by, masking=removal, fixed=fixed)
        self._most = whole("batch_size", batch_size, 1)
        everything = np.ones(self.prompt.n_players, dtype=np.bool_)
        self._scoring = Scoring(
            model,
            (self.masked.image[None].copy(), [self.prompt.render(everything)]),
            outputs=outputs,
            target=target,
            against=against,
            fingerprint=fingerprint,
        )

    @property
    def n_players(self) -> int:
        """The number of regions and segments."""
        return self.masked.n_players + self.prompt.n_players

    @property
    def players(self) -> tuple[str, ...]:
        """The regions' names, then the segments' texts in quotation marks."""
        return (*self.masked.regions.names, *(f'"{segment}"' for segment in self.prompt.players))

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
        """The scores of a batch ``(b, k)``, the mean over the versions of swapped texts."""
        n_regions = self.masked.n_players
        images = self.masked.compose(masks[:, :n_regions], seeds)
        numbers = np.arange(len(masks))
        segments = masks[:, n_regions:]
        vary = numbers[self.prompt.n_prompts(segments) > 1]
        total = self._read(images, segments, 0)
        for version in range(1, self.prompt.n_versions if len(vary) else 1):
            total[vary] += self._read(images[vary], segments[vary], version)
        total[vary] /= self.prompt.n_versions
        return total

    def _read(self, images: Pixels, segments: BoolArray, version: int) -> FloatArray:
        texts = [self.prompt.render(mask, version) for mask in segments]
        return self._scoring(images.copy(), texts)  # a model may write into its input

    def arrange(self, masks: BoolArray, /) -> IntArray:
        """Return the masks' order of evaluation, ``(m,)``: any will do here."""
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        """Count the images that the model is asked for, ``(m,)``."""
        versions = self.prompt.n_prompts(np.asarray(masks)[:, self.masked.n_players :])
        return np.asarray(versions * float(self.n_repeats))

    def describe(self) -> Json:
        """The image with its regions, the text with its segments, and the model, as JSON.

        ``segments`` are the characters of the segments in ``text``, and ``pieces`` is the text in
        order, each piece with its player.
        """
        of_text = self.prompt.describe()
        spans = of_text.pop("spans", None)
        first = self.masked.n_players
        text = of_text["text"]
        pieces = of_text.pop("pieces", None) or [
            (text[start:stop], player)
            for start, stop, player in cut_at(text, spans)
            if start < stop
        ]
        return (
            self.masked.describe()
            | self._scoring.describe()
            | {
                "lens": "images",
                "view": {"kind": "image", "title": "The image and the text"},
                "text": text,
                "segments": spans if spans is not None else of_text["segments"],
                "segments_by": of_text["by"],
                "swapped": of_text.get("swapped", []),
                "masking": of_text["masking"],
                "pieces": [
                    [words, None if player is None else player + first] for words, player in pieces
                ],
            }
        )

    @property
    def fingerprint(self) -> str | None:
        """A hash of the model, image, regions, fill, text, segments, masking and target.

        ``None`` if nothing identifies the model.
        """
        of_text = {k: v for k, v in self.prompt.describe().items() if k not in ("view", "lens")}
        return self._scoring.fingerprint(
            {"images and text": _CODE_VERSION, "text": of_text} | self.masked.identity()
        )

    def __repr__(self) -> str:
        return (
            f"ImageTextGame({self._scoring.model_name}, {self.masked.n_players} regions, "
            f"{self.prompt.n_players} segments)"
        )
