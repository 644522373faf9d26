"""What a model makes of texts in batches and of masked tokens, found out by trying.

Nothing is concluded from a model's name. Each function is given ``plain``: from texts, evaluated in
one batch, to what targets are read off, a tensor for each.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from interplay.errors import out_of_memory
from interplay.text.inference.batches import Way

if TYPE_CHECKING:
    import torch

Text: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids, and for each 1, or 0 where no other token may attend to it."""
Plain: TypeAlias = "Callable[[Sequence[Text]], list[torch.Tensor]]"
_SAME = 1e-5
"""Outputs that differ by less of the largest are the same up to float32's rounding."""


def find_way(plain: Plain, ids: tuple[int, ...], allowed: float) -> tuple[Way, list[str]]:
    """The fastest way in which a few texts give what each gives by itself.

    Args:
        plain: see above.
        ids: a text of 6 tokens or more; others are made of it.
        allowed: the share of the largest output by which outputs may differ.

    Returns:
        The way, and why faster ones will not do.
    """
    half, quarter = len(ids) // 2, len(ids) // 4
    turned = ids[:1] + ids[-2:0:-1] + ids[-1:]
    some = [ids, ids[:quarter] + ids[half:], ids[:1] + ids[half + quarter :], turned]
    samples: dict[Way, list[tuple[int, ...]]] = {"padded": some, "equal": [ids, turned]}
    reasons = []
    for way, sample in samples.items():
        texts = [_whole(tokens) for tokens in sample]
        alone = [plain([text])[0] for text in texts]
        try:
            off = _difference(plain(texts), alone)
        except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            reasons.append(f"{way}: {type(error).__name__}: {error}")
            continue
        if off <= allowed:
            return way, reasons
        reasons.append(f"{way}: outputs differ by {off:.1%} of the largest")
    return "single", reasons


def find_pinned(
    plain: Plain,
    other: Callable[[tuple[int, ...], Sequence[int]], tuple[int, ...]],
    ids: tuple[int, ...],
    allowed: float,
) -> tuple[int, ...]:
    """Prove that what a masked token is does not matter; find the places where it does.

    Args:
        plain: see above.
        other: from token ids and places to ids with other tokens there.
        ids: a text.
        allowed: the share of the largest output by which outputs may differ.

    Returns:
        Those of the places 0 and -1 that the output is read off: a token there shows even where no
        other token attends to it.

    Raises:
        ValueError: masked tokens elsewhere show too.
    """
    size = len(ids)
    inner = range(1, size - 1)[size // 3 : 2 * size // 3] or range(1, size - 1)
    if inner:
        mask = tuple(int(place not in inner) for place in range(size))
        masked = plain([(ids, mask)])
        off = _difference(plain([(other(ids, inner), mask)]), masked)
        if not off <= allowed:
            raise ValueError(
                "the model does not keep to its attention mask: its outputs change by "
                f"{off:.1%} of the largest with a masked token; remove segments otherwise"
            )
        left = tuple(token for token, keep in zip(ids, mask, strict=True) if keep)
        if _difference(plain([_whole(left)]), masked) < _SAME:
            warnings.warn(
                "the model does not count masked tokens as positions, so that masking by attention "
                "is the same as deleting tokens",
                stacklevel=4,
            )
    return tuple(place for place in (0, -1) if _shows(plain, other, ids, place % size, allowed))


def _shows(
    plain: Plain,
    other: Callable[[tuple[int, ...], Sequence[int]], tuple[int, ...]],
    ids: tuple[int, ...],
    at: int,
    allowed: float,
) -> bool:
    """Whether a masked token's place shows what it is."""
    mask = tuple(int(place != at) for place in range(len(ids)))
    if not any(mask):
        return True
    try:
        wanted = plain([(ids, mask)])
        return not _difference(plain([(other(ids, [at]), mask)]), wanted) <= allowed
    except (LookupError, ValueError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        return True  # some look for their last token by its id


def _whole(ids: tuple[int, ...]) -> Text:
    return ids, (1,) * len(ids)


def _difference(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    """The largest difference, as a share of the largest number; NaN where one is no number."""
    import torch

    largest = max(float(each.abs().max()) for each in wanted)
    off = torch.cat([(f - w).flatten() for f, w in zip(found, wanted, strict=True)])
    return float(off.abs().max()) / largest
