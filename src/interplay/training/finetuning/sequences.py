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
from interplay.training.finetuning.attention import KeysValues, Segment
from interplay.training.finetuning.body import Body
from interplay.training.finetuning.rendering import Encoded

if TYPE_CHECKING:
    import torch

_TOKENS_PER_PASS = 1024


@dataclass(frozen=True, eq=False)
class Text:
    """Tokens that a model reads, and what they are to be followed by.

    Attributes:
        tokens: what is read.
        n_prompt: how many of them are the prompt's.
        at: the positions of the tokens before the targets, ``(targets,)``.
        targets: tokens, ``(targets,)``.
    """

    tokens: tuple[int, ...]
    n_prompt: int
    at: IntArray
    targets: IntArray


def text_of(encoded: Encoded) -> Text:
    """Make a text of a prompt and what follows it."""
    at = np.arange(encoded.n_prompt - 1, len(encoded.tokens) - 1)
    targets = np.array(encoded.response, dtype=np.int64)
    return Text(tuple(encoded.tokens[:-1]), encoded.n_prompt, at, targets)


def merged_texts(encoded: Sequence[Encoded]) -> tuple[list[Text], list[tuple[int, slice]]]:
    """Make texts of prompts with continuations; those that read the same become one text.

    Args:
        encoded: the prompts, and what follows them.

    Returns:
        The texts. And for each of ``encoded`` the number of its text and where its targets are.
    """
    hosts: list[tuple[int, ...]] = []
    prompts: list[int] = []
    places: dict[int, int] = {}
    for number in sorted(range(len(encoded)), key=lambda at: -len(encoded[at].tokens)):
        read, n_prompt = tuple(encoded[number].tokens[:-1]), encoded[number].n_prompt
        for place, (host, of_host) in enumerate(zip(hosts, prompts, strict=True)):
            if of_host == n_prompt and host[: len(read)] == read:
                places[number] = place
                break
        else:
            places[number] = len(hosts)
            hosts.append(read)
            prompts.append(n_prompt)
    at: list[list[int]] = [[] for _ in hosts]
    targets: list[list[int]] = [[] for _ in hosts]
    where = []
    for number, each in enumerate(encoded):
        place = places[number]
        first = len(at[place])
        at[place] += range(each.n_prompt - 1, len(each.tokens) - 1)
        targets[place] += each.response
        where.append((place, slice(first, len(at[place]))))
    texts = [
        Text(host, n_prompt, np.array(of_text, dtype=np.int64), np.array(following, dtype=np.int64))
        for host, n_prompt, of_text, following in zip(hosts, prompts, at, targets, strict=True)
    ]
    return texts, where


@dataclass(frozen=True, eq=False)
class Fixed:
    """A sequence and what no training changes in it.

    Attributes:
        start: the position of its first adapted token.
        states: what the first tuned layer reads from there on, ``(tokens, width)``.
        prefix: the keys and values of the tokens before, by layer.
        at: the tokens of the stream whose next token is a target, numbered from ``start``.
        targets: these next tokens, one for each of ``at``.
        base: what the head of the model reads at these tokens before any training, ``(targets,
            width)``.
    """

    start: int
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
        at: the tokens whose next token is a target, ``(targets,)``.
        targets: these next tokens, ``(targets,)``.
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
            starts = np.concatenate([[0], np.cumsum(lengths)])
            tokens = np.concatenate([np.array(text.tokens) for text in part])
            positions = np.concatenate([np.arange(length) for length in lengths])
            segments = tuple(
                Segment(int(start), 1, int(length))
                for start, length in zip(starts, lengths, strict=False)
            )
            states, record, read = body.record(
                torch.from_numpy(tokens).to(device), torch.from_numpy(positions).to(device), segments
            )
            for text, begin, end in zip(part, starts, starts[1:], strict=False):
                start = 0 if from_start else text.n_prompt - 1
                before = tuple(text.tokens[:start])
                if before not in prefixes:
                    prefixes[before] = {
                        layer: tuple(t[:, begin : begin + start].clone() for t in both)
                        for layer, both in (record.items() if start else ())
                    }
                fixed.append(
                    Fixed(
                        start=start,
                        states=states[begin + start : end].clone(),
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
        segments.append(Segment(begin, n_copies, n_tokens, sequence.prefix))
        states.append(sequence.states.expand(n_copies, -1, -1).flatten(0, 1))
        positions.append(np.tile(np.arange(sequence.start, sequence.start + n_tokens), n_copies))
        owners.append(np.repeat(of, n_tokens))
        begins = begin + n_tokens * np.arange(n_copies)
        at.append((begins[:, None] + sequence.at).ravel())
        targets.append(np.tile(sequence.targets, n_copies))
        begin += n_copies * n_tokens
    all_states = torch.cat(states)
    return Stream(
        all_states,
        torch.from_numpy(np.concatenate(positions)).to(all_states.device),
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
