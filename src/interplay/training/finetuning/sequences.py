"""Sequences: texts with what no training changes in them computed once, and streams of copies.

What changes in a text begins at its first adapted token. The tokens before it enter through their
keys and values in the tuned layers, and all tokens through the states at the first tuned layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interplay._types import IntArray
from interplay.training.finetuning.attention import KeysValues, Segment, Shape
from interplay.training.finetuning.body import Body
from interplay.training.finetuning.rendering import Encoded

if TYPE_CHECKING:
    import torch

_TOKENS_PER_PASS = 1024


@dataclass(frozen=True, eq=False)
class Text:
    """Tokens that a model reads, and what they are to be followed by.

    After the prompt the text may branch: then its tokens are the nodes of a tree, each after the
    one that it follows.

    Attributes:
        tokens: what is read.
        follows: the node that each follows, ``(tokens,)``; -1 for the first.
        n_prompt: how many of them are the prompt's.
        at: the node before each target, ``(targets,)``.
        targets: tokens, ``(targets,)``.
    """

    tokens: IntArray
    follows: IntArray
    n_prompt: int
    at: IntArray
    targets: IntArray

    def shape(self, start: int, device: torch.device) -> Shape:
        """Return the shape of the nodes from one of the prompt's on."""
        import torch

        depths = np.arange(len(self.tokens))
        sees = np.eye(len(self.tokens), dtype=np.bool_)
        for node, before in enumerate(self.follows.tolist()):
            if before >= 0:
                depths[node] = depths[before] + 1
                sees[node] |= sees[before]
        branches = (np.diff(self.follows) != 1).any()
        return Shape(
            torch.from_numpy(depths[start:]).to(device),
            start,
            torch.from_numpy(sees[start:, start:]).to(device) if branches else None,
        )


def text_of(encoded: Encoded) -> Text:
    """Make a text of a prompt and what follows it."""
    ((text,), _) = merged_texts([encoded])
    return text


def merged_texts(encoded: Sequence[Encoded]) -> tuple[list[Text], list[tuple[int, slice]]]:
    """Make texts of prompts with continuations; those of one prompt become one text.

    Args:
        encoded: the prompts, and what follows them.

    Returns:
        The texts. And for each of ``encoded`` the number of its text and where its targets are.
    """
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for number, each in enumerate(encoded):
        by_prompt.setdefault(tuple(each.tokens[: each.n_prompt]), []).append(number)
    texts: list[Text] = []
    where: dict[int, tuple[int, slice]] = {}
    for prompt, numbers in by_prompt.items():
        tokens, follows = list(prompt), list(range(-1, len(prompt) - 1))
        at: list[int] = []
        targets: list[int] = []
        nodes: dict[tuple[int, int], int] = {}
        for number in numbers:
            response, node = encoded[number].response, len(prompt) - 1
            where[number] = (len(texts), slice(len(targets), len(targets) + len(response)))
            for token in response[:-1]:
                at.append(node)
                follower = nodes.setdefault((node, token), len(tokens))
                if follower == len(tokens):
                    tokens.append(token)
                    follows.append(node)
                node = follower
            at.append(node)
            targets += response
        arrays = (np.array(each, dtype=np.int64) for each in (tokens, follows, at, targets))
        read, after, before, wanted = arrays
        texts.append(Text(read, after, len(prompt), before, wanted))
    return texts, [where[number] for number in range(len(encoded))]


@dataclass(frozen=True, eq=False)
class Fixed:
    """A sequence and what no training changes in it.

    Attributes:
        shape: what its adapted tokens see.
        states: what the first tuned layer reads at them, ``(tokens, width)``.
        prefix: the keys and values of the tokens before, by layer.
        at: the adapted token before each target, ``(targets,)``.
        targets: tokens, ``(targets,)``.
        base: what the head of the model reads at these tokens before any training, ``(targets,
            width)``.
    """

    shape: Shape
    states: torch.Tensor
    prefix: Mapping[int, KeysValues]
    at: IntArray
    targets: IntArray
    base: torch.Tensor

    @property
    def n_tokens(self) -> int:
        """The adapted tokens."""
        return len(self.states)


@dataclass(frozen=True, eq=False)
class Stream:
    """Copies of sequences, each with the subset that it is a copy for.

    Attributes:
        states: what the first tuned layer reads, ``(tokens, width)``.
        positions: ``(tokens,)``.
        segments: the copies of each sequence.
        owners: the subset of each token, ``(tokens,)``.
        at: the token before each target, ``(targets,)``. One may be before several.
        targets: tokens, ``(targets,)``.
    """

    states: torch.Tensor
    positions: torch.Tensor
    segments: tuple[Segment, ...]
    owners: IntArray
    at: IntArray
    targets: IntArray


def fix(body: Body, texts: Sequence[Text], from_start: bool) -> list[Fixed]:
    """Compute what no training changes in texts.

    Args:
        body: the model; opened here.
        texts: the texts.
        from_start: whether all tokens are adapted, or only those from the last prompt token on.
    """
    import torch

    fixed: list[Fixed] = []
    device = body.model.device
    prefixes: dict[tuple[int, ...], Mapping[int, KeysValues]] = {}
    with torch.no_grad(), body.open():
        for part in _passes(texts):
            lengths = np.array([len(text.tokens) for text in part])
            starts = np.cumsum(lengths) - lengths
            shapes = [text.shape(0, device) for text in part]
            segments = [
                Segment(start, 1, shape)
                for start, shape in zip(starts.tolist(), shapes, strict=True)
            ]
            states, record, read = body.record(
                torch.from_numpy(np.concatenate([text.tokens for text in part])).to(device),
                torch.cat([shape.positions for shape in shapes]),
                segments,
            )
            for text, begin, length in zip(part, starts, lengths, strict=True):
                start = 0 if from_start else text.n_prompt - 1
                before = tuple(text.tokens[:start].tolist())
                if before not in prefixes:
                    prefixes[before] = {
                        layer: (
                            keys[:, begin : begin + start].clone(),
                            values[:, begin : begin + start].clone(),
                        )
                        for layer, (keys, values) in (record.items() if start else ())
                    }
                fixed.append(
                    Fixed(
                        shape=text.shape(start, device),
                        states=states[begin + start : begin + length].clone(),
                        prefix=prefixes[before],
                        at=text.at - start,
                        targets=text.targets,
                        base=read[torch.from_numpy(begin + text.at).to(device)],
                    )
                )
    return fixed


def stream_of(sequences: Sequence[Fixed], numbers: IntArray, subsets: IntArray) -> Stream:
    """Line up copies of sequences.

    Args:
        sequences: the sequences.
        numbers: the sequence of each copy, ascending.
        subsets: the subset of each copy.
    """
    import torch

    states, positions, owners, at, targets = [], [], [], [], []
    segments: list[Segment] = []
    begin = 0
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    for number, of in zip(numbers[starts], np.split(subsets, starts[1:]), strict=True):
        sequence, n_copies = sequences[number], len(of)
        n_tokens = sequence.n_tokens
        segments.append(Segment(begin, n_copies, sequence.shape, sequence.prefix))
        states.append(sequence.states.expand(n_copies, -1, -1).flatten(0, 1))
        positions.append(sequence.shape.positions.repeat(n_copies))
        owners.append(np.repeat(of, n_tokens))
        begins = begin + n_tokens * np.arange(n_copies)
        at.append((begins[:, None] + sequence.at).ravel())
        targets.append(np.tile(sequence.targets, n_copies))
        begin += n_copies * n_tokens
    return Stream(
        torch.cat(states),
        torch.cat(positions),
        tuple(segments),
        np.concatenate(owners),
        np.concatenate(at),
        np.concatenate(targets),
    )


def _passes(texts: Sequence[Text]) -> Iterator[Sequence[Text]]:
    """Cut texts into passes of some tokens."""
    first = n_tokens = 0
    for number, text in enumerate(texts):
        if n_tokens and n_tokens + len(text.tokens) > _TOKENS_PER_PASS:
            yield texts[first:number]
            first, n_tokens = number, 0
        n_tokens += len(text.tokens)
    yield texts[first:]
