"""Where in a prompt something is swapped, and which players that makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from interplay.text.prompts.passage import Occurrence, Passage
from interplay.text.prompts.prompt import MaskedPrompt, Piece, Turn, without_covered
from interplay.text.prompts.swap import Swap


def with_swaps(prompt: MaskedPrompt, swap: Swap) -> MaskedPrompt:
    """A prompt in which what a swap names are players too, behind the segments.

    Segments that are swapped wholly, but for punctuation, are no players of their own.

    Args:
        prompt: without swaps, before a chat template is applied.
        swap: its masking.

    Raises:
        ValueError: something to swap occurs nowhere, or reaches over the border of a segment.
    """
    n_swaps = len(swap.groups)
    pairs: list[list[tuple[str, tuple[str, ...]]]] = [[] for _ in swap.groups]
    turns = []
    for turn in prompt.turns:
        text = "".join(piece if isinstance(piece, str) else piece.text for piece in turn.pieces)
        places = swap.occurrences(text)
        for place in places:
            pairs[place.player].append((text[place.start : place.stop], place.alternatives))
        numbered = [replace(place, player=place.player - n_swaps) for place in places]
        pieces = tuple(_placed(turn, numbered, swap.removal is None))
        turns.append(replace(turn, pieces=pieces))
    for group, of_group in zip(swap.groups, pairs, strict=True):
        if not of_group:
            keys = [
                entry.key if isinstance(entry.key, str) else entry.key.pattern
                for entry in group.entries
            ]
            named = f"the group {group.name!r} ({', '.join(keys[:5])})" if group.name else keys[0]
            raise ValueError(
                f"{named} to be swapped occurs nowhere in the prompt, so that it is no player; "
                "leave it out, or write it as the prompt does"
            )
    settled, names, _ = without_covered(turns, prompt.players)
    labels = [group.label(of_group) for group, of_group in zip(swap.groups, pairs, strict=True)]
    by = f"{prompt.by} and swap" if names else "swap"
    return replace(prompt, turns=settled, players=(*names, *labels), by=by, n_swaps=n_swaps)


def _placed(turn: Turn, places: Iterable[Occurrence], only_swaps: bool) -> Iterator[Piece]:
    """The pieces of a turn, each with the places that are swapped in it.

    Raises:
        ValueError: a place is in two pieces.
    """
    places, at = list(places), 0
    for piece in turn.pieces:
        # what stands around a text that is no chat is written by people too
        passage = Passage(piece, (), 0) if isinstance(piece, str) else piece
        stop = at + len(passage.text)
        inside = [place for place in places if place.start < stop and at < place.stop]
        for place in inside:
            if place.start < at or place.stop > stop:
                raise ValueError(
                    "what is swapped reaches over the border between the text that is ablated and "
                    "the prompt around it; swap a text that is in one of them"
                )
        if only_swaps:
            passage = replace(passage, spans=(), commas=(), content=None)
        yield replace(passage, swapped=tuple(place.moved(-at) for place in inside))
        at = stop
