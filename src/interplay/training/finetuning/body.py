"""The body: a model's layers on streams, from the first tuned layer to what the head reads.

The model's own code runs. Hooks give it the states that the first tuned layer reads, and take what
reaches its head, the linear map to the logits. Logits are then computed for the tokens that are
needed only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interplay.components.architecture import (
    Architecture,
    hidden_states,
    lock_of,
    probing_tokens,
    without_cache,
)
from interplay.components.patching import starting_at
from interplay.text.inference.batches import relative_tolerance
from interplay.training.finetuning.attention import KeysValues, Segment, Shape, Streams, attending

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_PROBE = 3
"""How often the probing tokens are repeated in the text on which streams are checked."""


@dataclass(eq=False)
class Body:
    """Passes of a model over streams.

    Attributes:
        model: the model.
        architecture: its layers.
        first: the first tuned layer.
        finishes: whether the model changes what its head returns (a softcap, a scale).
    """

    model: PreTrainedModel
    architecture: Architecture
    first: int
    finishes: bool = True
    _streams: Streams = field(init=False)
    _read: list[torch.Tensor] = field(default_factory=list, init=False)
    _logits: torch.Tensor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._streams = Streams(
            {
                module: number
                for number, layer in enumerate(self.architecture.layers)
                for module in layer.module.modules()
            }
        )

    @property
    def head(self) -> Any:
        """The linear map to the logits."""
        return self.model.get_output_embeddings()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Hold the model as passes need it: frozen, its head and attention replaced."""
        parameters = list(self.model.parameters())
        trained = [parameter.requires_grad for parameter in parameters]
        forward = self.head.__dict__.get("forward")
        try:
            for parameter in parameters:
                parameter.requires_grad_(False)
            self.head.forward = self._at_head
            with attending(self.model, self._streams):
                yield
        finally:
            self.head.__dict__.pop("forward", None)
            if forward is not None:
                self.head.__dict__["forward"] = forward
            for parameter, was in zip(parameters, trained, strict=True):
                parameter.requires_grad_(was)
            self._streams.segments = ()
            self._read.clear()

    def run(
        self, states: torch.Tensor, positions: torch.Tensor, segments: Sequence[Segment]
    ) -> torch.Tensor:
        """Run the layers from the first tuned one, within :meth:`open`.

        Args:
            states: what the first tuned layer reads, ``(tokens, width)``.
            positions: the tokens' positions in their sequences, ``(tokens,)``.
            segments: the stream's.

        Returns:
            What the head reads, ``(tokens, width)``.
        """
        self._streams.segments = segments
        with starting_at(self.architecture, self.first, states[None]):
            return self._pass(positions.new_zeros(len(positions)), positions)

    def record(
        self, tokens: torch.Tensor, positions: torch.Tensor, segments: Sequence[Segment]
    ) -> tuple[torch.Tensor, dict[int, KeysValues], torch.Tensor]:
        """Run all layers, and keep what does not change: what the first tuned layer reads.

        Args:
            tokens: ``(tokens,)``.
            positions: as for :meth:`run`.
            segments: the stream's.

        Returns:
            The states ``(tokens, width)``, the keys and values of each tuned layer, and what the
            head reads ``(tokens, width)``.
        """
        states: list[torch.Tensor] = []

        def keep(_: Any, args: Any, kwargs: Any) -> None:
            states.append(hidden_states(args, kwargs)[0])

        self._streams.segments, self._streams.record = segments, {}
        layer = self.architecture.layers[self.first].module
        with ExitStack() as stack:
            stack.callback(setattr, self._streams, "record", None)
            stack.callback(layer.register_forward_pre_hook(keep, with_kwargs=True).remove)
            read = self._pass(tokens, positions)
            record = {n: both for n, both in self._streams.record.items() if n >= self.first}
        return states[0], record, read

    def finish(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits ``(tokens, some)`` as the model returns what its head returned.

        The model runs on one token, and its head is told what to return.
        """
        if not self.finishes:
            return logits
        zero = logits.new_zeros(1).long()
        self._streams.segments = (Segment(0, 1, Shape(zero)),)
        self._logits = logits[None]
        try:
            finished: torch.Tensor = self._call(zero, zero)[0]
        finally:
            self._logits = None
        return finished

    @property
    def attended(self) -> int:
        """How often attention was computed on streams."""
        return self._streams.n_calls

    def _pass(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        self._read.clear()
        self._call(tokens, positions)
        (read,) = self._read
        self._read.clear()
        return read.reshape(len(tokens), -1)

    def _call(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(
            input_ids=tokens[None], position_ids=positions[None], **without_cache(self.model)
        ).logits
        return logits

    def _at_head(self, states: torch.Tensor) -> torch.Tensor:
        if self._logits is not None:
            return self._logits
        self._read.append(states)
        return states.new_zeros((*states.shape[:-1], 1))


def check_streams(body: Body) -> None:
    """Check that streams compute what the model computes, and whether it changes its logits.

    Raises:
        ValueError: they do not.
    """
    import torch

    model = body.model
    name = type(model).__name__
    if getattr(body.head, "weight", None) is None:
        raise ValueError(f"{name} has no linear map to logits; fine-tuning takes language models")
    tokens = probing_tokens(model, 1)[0].repeat(_PROBE)
    positions = torch.arange(len(tokens), device=tokens.device)
    with lock_of(model), torch.no_grad():
        expected = model(input_ids=tokens[None], **without_cache(model)).logits[0]
        try:
            with body.open():
                # two sequences, so that what one of them sees of the other shows
                shape = Shape(positions)
                segments = [Segment(0, 1, shape), Segment(len(tokens), 1, shape)]
                states, _, _ = body.record(tokens.repeat(2), positions.repeat(2), segments)
                if not body.attended:
                    raise ValueError("its attention is not computed through transformers'")
                read = body.run(states, positions.repeat(2), segments)[len(tokens) :]
                raw = torch.nn.functional.linear(
                    read, body.head.weight, getattr(body.head, "bias", None)
                )
                logits = body.finish(raw)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"the layers of {name} cannot be run on streams of tokens, which fine-tuning on "
                f"subsets needs ({error}); give another model"
            ) from error
    limit = relative_tolerance(model) * float(expected.abs().max())
    difference = float((logits - expected).abs().max())
    if not difference <= limit:
        raise ValueError(
            f"the layers of {name} compute something else on streams of tokens, which fine-tuning "
            f"on subsets needs (logits differ by {difference:.2g}); give another model"
        )
    body.finishes = not torch.equal(raw, logits)
