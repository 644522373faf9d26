"""Readouts: what is appended to a prompt, and what is read off the logits there.

An answer's tokens are those that follow the prompt's in the tokens of prompt and answer together.
Some tokenizers merge characters across the border: "The answer is " and "Yes" end in the one token
" Yes". The prompt's own last tokens are then none that the model expects before the answer. What is
scored is the probability of the answer given the *characters* of the prompt,

    log p(answer | prompt) = log p(t | c) - log P(r | c),

where c is the part of the prompt's tokens that stays, r the characters of the rest, t the tokens of
r and the answer, and P(r | c) the probability that the text after c begins with r. P(r | c) is a
sum over the tokens that reach the end of r: after c, and after the first tokens of r or of t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from interplay._types import FloatArray
from interplay.text.prompts.fields import Span
from interplay.text.prompts.token_texts import UNDECODABLE, TokenTexts
from interplay.text.prompts.tokens import Continuation, Tokens

if TYPE_CHECKING:
    import torch

_STEP = 1e-6
"""The step of a derivative, as a share of the number, or by itself for numbers below 1."""


@dataclass(frozen=True)
class Readout:
    """Which tokens are appended to a prompt, and what is read off the logits there.

    Attributes:
        feeds: token sequences. Each is appended to the prompt and the model evaluated on the result
            (prefixes that they share are computed once); ``()`` appends nothing.
        read: from the number of a feed of f tokens, and the logits at the last f + 1 positions of b
            prompts, ``(b, f + 1, vocabulary)``, to r numbers for each, ``(b, r)`` float64.
        combine: from what was read for each feed to the values, ``(b,)``, or ``(b, k)``.
        outputs: the names of the k outputs; empty for values ``(b,)``.
        n_cut: how many tokens are taken off the prompt's end before that.
    """

    feeds: tuple[Tokens, ...]
    read: Callable[[int, torch.Tensor], torch.Tensor]
    combine: Callable[[Sequence[FloatArray]], FloatArray]
    outputs: tuple[str, ...] = ()
    n_cut: int = 0


class AnswerScore(Protocol):
    """A score of answers' log-probabilities."""

    @property
    def answers(self) -> tuple[str, ...]:
        """The answers."""
        ...

    def outputs(self, tokens: Sequence[Sequence[str]], /) -> tuple[str, ...]:
        """The outputs' names, from each answer's tokens as text."""
        ...

    def combine(self, logprobs: Sequence[FloatArray], /) -> FloatArray:
        """Values from each answer's tokens' log-probabilities, ``(b, tokens)`` each."""
        ...


@dataclass
class _Queries:
    """Log-probabilities to read: that the token at a position of a feed is one of some."""

    columns: dict[Tokens, dict[tuple[int, Tokens], int]] = field(default_factory=dict)
    """For each feed, the position and the tokens of each query, and its column."""

    def add(self, feed: Tokens, at: int, tokens: Tokens) -> Callable[[_Read], FloatArray]:
        """Add a query; returns what gives its numbers ``(b,)``, once all have been read."""
        queries = self.columns.setdefault(feed, {})
        column = queries.setdefault((at, tokens), len(queries))
        number = list(self.columns).index(feed)
        return lambda read: read[number][:, column]

    def read(self, number: int, logits: torch.Tensor) -> torch.Tensor:
        """See :class:`Readout`."""
        import torch

        queries = list(self.columns.values())[number]
        numbers: dict[tuple[int, Tokens], torch.Tensor] = {}
        # one position at a time: the vocabulary in float64 is what takes memory here
        for position in sorted({at for at, _ in queries}):
            logprobs = logits[:, position].double().log_softmax(dim=-1)
            for at, tokens in queries:
                if at == position:
                    numbers[at, tokens] = logprobs[:, list(tokens)].logsumexp(dim=-1)
        return torch.stack([numbers[query] for query in queries], dim=1)


_Read: TypeAlias = Sequence[FloatArray]


def answers_readout(
    target: AnswerScore,
    continuations: Sequence[Continuation],
    texts: TokenTexts,
    part: Span | None = None,
    outputs: tuple[str, ...] | None = None,
) -> Readout:
    """Make the readout of answers: each is appended but for its last token.

    Args:
        target: what is scored.
        continuations: each answer as it is written after the prompt.
        texts: of the model's tokenizer.
        part: the characters of the answers that are scored; ``None``: all.
        outputs: the names of the outputs; ``None``: those that the target gives for these tokens.

    Raises:
        ValueError: the border of prompt and answer is inside a character, or the tokenizer changes
            the text of an answer of which only a part is scored.
    """
    # all feeds follow the same part of the prompt
    n_cut = max(len(one.replaced) for one in continuations)
    cut = max((one.replaced for one in continuations), key=len)
    queries = _Queries()
    readers: list[list[Callable[[_Read], FloatArray]]] = []
    scored: list[Tokens] = []
    borders: list[list[list[Callable[[_Read], FloatArray]]]] = []
    for answer, one in zip(target.answers, continuations, strict=True):
        stays = cut[: n_cut - len(one.replaced)]
        positions = range(len(one.tokens))
        if part is not None:
            positions = tokens_of_part(answer, part, one, texts)
        feed = (*stays, *one.tokens[: positions.stop - 1])
        readers.append([queries.add(feed, len(stays) + at, (one.tokens[at],)) for at in positions])
        scored.append(tuple(one.tokens[at] for at in positions))
        borders.append([])
        if one.replaced and positions.start == 0:
            for path, reaching in _border(one, texts):
                through = feed if path == one.tokens[: len(path)] else (*stays, *path)
                steps = [
                    queries.add(through, len(stays) + at, (token,)) for at, token in enumerate(path)
                ]
                borders[-1].append([*steps, queries.add(through, len(stays) + len(path), reaching)])

    def combine(read: _Read) -> FloatArray:
        logprobs = []
        for columns, paths in zip(readers, borders, strict=True):
            table = np.stack([column(read) for column in columns], axis=1)
            if paths:
                of_paths = [np.sum([step(read) for step in steps], axis=0) for steps in paths]
                table[:, 0] -= np.logaddexp.reduce(np.array(of_paths), axis=0)
            logprobs.append(table)
        return target.combine(logprobs)

    if outputs is None:
        outputs = target.outputs([[texts([token]) for token in tokens] for tokens in scored])
    return Readout(tuple(queries.columns), queries.read, combine, outputs, n_cut)


def tokens_of_part(answer: str, part: Span, one: Continuation, texts: TokenTexts) -> range:
    """The tokens of a continuation that have characters of a part of the answer.

    Raises:
        ValueError: the tokenizer changes the text of the answer.
    """
    written = texts(one.tokens)
    first = len(texts(one.replaced))
    if written.endswith(answer):  # some tokenizers put a space before a text, such as a target
        first = len(written) - len(answer)
    start, stop = (first + at for at in part)
    if written[start:stop] != answer[slice(*part)]:
        raise ValueError(
            f"this tokenizer writes the response {answer!r} as {written[first:]!r}, so its part "
            f"{answer[slice(*part)]!r} cannot be located; score the whole response"
        )
    spans = texts.spans(one.tokens)
    touched = [at for at, (begin, end) in enumerate(spans) if begin < stop and start < end]
    # a token that begins with characters of the prompt needs all that write these
    first_token = 0 if spans[touched[0]][0] < first else touched[0]
    return range(first_token, touched[-1] + 1)


def _border(one: Continuation, texts: TokenTexts) -> list[tuple[Tokens, Tokens]]:
    """The ways to write the replaced characters: some tokens, and those that reach their end."""
    characters = texts(one.replaced)
    ways: dict[Tokens, Tokens] = {}
    for chain in (one.replaced, one.tokens):
        for path in (chain[:n] for n in range(len(chain))):
            written = texts(path)
            if len(written) >= len(characters) and path:
                break
            if UNDECODABLE in characters or not characters.startswith(written):
                raise ValueError(
                    "the tokenizer merges the end of the prompt with the answer inside a "
                    f"character ({characters!r}); end the prompt with a space or a line break less "
                    "or more, or move the last characters of the prompt into the answer"
                )
            reaching = texts.beginning_with(characters[len(written) :]).tolist()
            if reaching:
                ways[path] = tuple(reaching)
    return list(ways.items())


def derivatives(
    combine: Callable[[Sequence[FloatArray]], FloatArray], readings: Sequence[FloatArray]
) -> list[FloatArray]:
    """Differentiate the values of a readout with respect to what was read for each feed.

    They are central differences, all in one call: what was read are few numbers.

    Args:
        combine: of the readout, to k values.
        readings: what was read for each feed, ``(b, r)``.

    Returns:
        For each feed ``(b, r, k)``.
    """
    points = np.concatenate(readings, axis=1)
    n_points, n_read = points.shape
    steps = np.eye(n_read) * (_STEP * np.maximum(np.abs(points), 1.0))[:, None]
    moved = np.stack([points[:, None] + steps, points[:, None] - steps]).reshape(-1, n_read)
    borders = np.cumsum([of_feed.shape[1] for of_feed in readings])[:-1]
    values = combine(np.split(moved, borders, axis=1))
    above, below = values.reshape(2, n_points, n_read, -1)
    slopes = (above - below) / (2 * np.diagonal(steps, axis1=1, axis2=2)[..., None])
    return np.split(slopes, borders, axis=1)


def names_of(targets: Sequence[object], outputs: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The names of the outputs of several targets; a target's text names an output without a name.

    Args:
        targets: the targets.
        outputs: the names of each target's outputs; empty if it has one output without a name.
    """
    return tuple(
        name
        for target, names in zip(targets, outputs, strict=True)
        for name in (names or (str(target),))
    )


def join_readouts(
    targets: Sequence[object], readouts: Sequence[Readout], cut: Tokens = ()
) -> Readout:
    """Join several readouts into one: the model runs once and the values stand side by side.

    Args:
        targets: the target of each readout. Its text names an output that has no name.
        readouts: one or more; a single one is returned as it is.
        cut: the tokens that the readout with the largest ``n_cut`` takes off.
    """
    if len(readouts) == 1:
        return readouts[0]
    n_cut = max(readout.n_cut for readout in readouts)
    readouts = [_after_cut(readout, cut) for readout in readouts]
    owner = [row for row, readout in enumerate(readouts) for _ in readout.feeds]
    first = [owner.index(row) for row in range(len(readouts))]

    def read(number: int, logits: torch.Tensor) -> torch.Tensor:
        row = owner[number]
        return readouts[row].read(number - first[row], logits)

    def combine(columns: Sequence[FloatArray]) -> FloatArray:
        values = [
            readout.combine(columns[start : start + len(readout.feeds)])
            for start, readout in zip(first, readouts, strict=True)
        ]
        return np.concatenate([value.reshape(len(value), -1) for value in values], axis=1)

    names = names_of(targets, [readout.outputs for readout in readouts])
    feeds = tuple(feed for readout in readouts for feed in readout.feeds)
    return Readout(feeds, read, combine, names, n_cut)


def _after_cut(readout: Readout, cut: Tokens) -> Readout:
    """The same readout with ``cut`` taken off the prompt; its feeds write again what it needs."""
    again = cut[: len(cut) - readout.n_cut]
    if not again:
        return readout
    return replace(
        readout,
        feeds=tuple((*again, *feed) for feed in readout.feeds),
        read=lambda number, logits: readout.read(number, logits[:, len(again) :]),
        n_cut=len(cut),
    )
