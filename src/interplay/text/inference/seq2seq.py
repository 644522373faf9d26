"""Encoder-decoders (T5, BART and their kind): the prompt is encoded, the answer is decoded.

The decoder begins with tokens of its own (:class:`AnswerTokens`), whatever the prompt, and an
answer is tokenized by itself, as a target. The prompts of a batch are encoded once, and decoded
once for each answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.errors import out_of_memory
from interplay.text.inference.batches import relative_tolerance
from interplay.text.inference.known import known
from interplay.text.inference.padding import Text
from interplay.text.inference.texts import TextPasses
from interplay.text.models import context_length
from interplay.text.prompts.tokens import Tokens
from interplay.text.readouts import Readout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class AnswerTokens:
    """How an encoder-decoder's answers are written.

    A decoder reads tokens that say where an answer begins, and then the answer. As in ``generate``,
    the first of them is the ``decoder_start_token_id`` of the model's configuration, or else its
    ``bos_token_id``; of mBART without one, the language that the tokenizer puts behind a target. It
    is followed by the ``forced_bos_token_id``, such as the language of the answer. Without one, it
    is followed by what the tokenizer puts before a target, such as BART's ``<s>``, unless that is
    the first token already. What the tokenizer puts behind a target, such as its end token, is not
    a part of an answer.

    Args:
        model: an encoder-decoder.
        tokenizer: its tokenizer.

    Attributes:
        begin: the tokens that the decoder begins with.

    Raises:
        ValueError: the model does not say what an answer begins with, or the tokenizer says
            otherwise.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._without_language = getattr(tokenizer, "tgt_lang", "") is None
        """Whether it is a tokenizer of many languages that was not told the answer's. Its targets
        would be framed by a wrong one."""
        plain, framed = (self._encoded("a", framed=frame) for frame in (False, True))
        starts = range(len(framed) - len(plain) + 1)
        self._n_front = next((n for n in starts if framed[n : n + len(plain)] == plain), 0)
        self._n_end = len(framed) - len(plain) - self._n_front
        end = framed[len(framed) - self._n_end :]
        self.begin = self._begin(model, framed[: self._n_front], end)

    def _begin(self, model: PreTrainedModel, front: list[int], end: list[int]) -> Tokens:
        config = getattr(model, "generation_config", None)
        first = getattr(config, "decoder_start_token_id", None)
        if first is None:
            first = getattr(model.config, "decoder_start_token_id", None)
        language = next((token for token in end[-1:] if token not in self._usual()), None)
        if first is None and language is not None:
            first = language
        if first is None:
            first = getattr(config, "bos_token_id", None)
        if not isinstance(first, int):
            raise ValueError(
                f"the configuration of this {type(model).__name__} does not say which token its "
                f"decoder begins with (decoder_start_token_id={first!r}); set "
                "model.generation_config.decoder_start_token_id"
            )
        if language not in (None, first) and first not in self._usual():
            raise ValueError(
                f"the model's decoder begins with {self._named([first])} "
                f"(decoder_start_token_id={first}), but the tokenizer's answers are in "
                f"{self._named(end[-1:])}; set tokenizer.tgt_lang or "
                "model.generation_config.decoder_start_token_id so that they agree"
            )
        forced = getattr(config, "forced_bos_token_id", None)
        if forced is not None:
            if front and front != [forced]:
                raise ValueError(
                    f"the model's answers begin with {self._named([forced])} "
                    f"(forced_bos_token_id={forced}), those of its tokenizer with "
                    f"{self._named(front)}; set tokenizer.tgt_lang or "
                    "model.generation_config.forced_bos_token_id so that they agree"
                )
            front = [forced]
        elif self._without_language and first in self._usual():
            raise ValueError(
                "this tokenizer is of many languages, and neither it nor the model says which one "
                "an answer is in; set tokenizer.tgt_lang"
            )
        return (first, *front[front[:1] == [first] :])

    def _usual(self) -> set[int | None]:
        """The special tokens that stand for no language."""
        tokenizer = self._tokenizer
        return {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}

    def _named(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, self._tokenizer.convert_ids_to_tokens(list(tokens))))

    def _encoded(self, answer: str, framed: bool) -> list[int]:
        encoded = (
            self._tokenizer(answer, add_special_tokens=False)
            if self._without_language
            else self._tokenizer(text_target=answer, add_special_tokens=framed)
        )
        ids: list[int] = encoded["input_ids"]
        return ids

    def __call__(self, answer: str) -> Tokens:
        """The tokens of an answer, without those around it; its special tokens count as such.

        Raises:
            ValueError: it has none.
        """
        framed = self._encoded(answer, framed=True)
        tokens = tuple(framed[self._n_front : len(framed) - self._n_end])
        if not tokens:
            raise ValueError(f"the response {answer!r} has no tokens; give a response to score")
        return tokens


class Seq2SeqReader:
    """Reads a target off an encoder-decoder's logits, for many prompts at a time.

    The first call checks that the encoder and the decoder by themselves give the logits of the
    whole model, and whether prompts can share a padded batch
    (:class:`interplay.text.inference.texts.TextPasses`).

    Args:
        model: a Hugging Face encoder-decoder (``AutoModelForSeq2SeqLM``), in evaluation mode.
        tokenizer: its tokenizer.
        begin: the tokens that the decoder begins with.

    Attributes:
        passes: how prompts are batched.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, begin: Tokens
    ) -> None:
        self.model = model
        self.begin = begin
        self.passes = TextPasses(model, tokenizer, self._outputs_of, begin)
        self._encoder = model.get_encoder()
        self._checked = False

    def check(self, prompt: Sequence[int], readout: Readout) -> None:
        """Refuse a prompt or an answer longer than the model's context, with a ValueError."""
        self.passes.texts([prompt], None)
        limit = context_length(self.model, of_decoder=True)
        length = len(self.begin) + max(map(len, readout.feeds))
        if limit is not None and length > limit:
            raise ValueError(
                f"the response is {length} tokens, above the decoder's context of {limit}; "
                "shorten it"
            )

    def values(
        self,
        prompts: Sequence[Sequence[int]],
        readout: Readout,
        attention: BoolArray | None = None,
    ) -> FloatArray:
        """Compute the target's values for m prompts. Equal prompts are evaluated once.

        Args:
            prompts: m lists of token ids, special tokens included.
            readout: what the decoder is given, and what to read.
            attention: ``(m, t)``, True for what is attended to by the other tokens and by the
                decoder; all tokens keep their positions. ``None``: nothing is masked.

        Returns:
            ``(m,)`` or ``(m, k)``.

        Raises:
            ValueError: a prompt has no tokens or more than the model's context, or the model does
                not allow masking by attention, or to be evaluated in two parts.
        """
        masks = None if attention is None else attention.astype(int).tolist()
        if not self._checked:
            prompt, feed = max(prompts, key=len), max(readout.feeds, key=len)
            known(
                self.model,
                ("parts", self.begin, len(feed)),
                len(prompt),
                lambda: self._check_parts(prompt, feed),
            )
            self._checked = True

        def evaluate(texts: list[Text]) -> list[list[Any]]:
            import torch

            with torch.inference_mode():
                read = {
                    number: readout.read(number, logits).cpu().numpy()
                    for number, logits in _of_feeds(readout.feeds, self._encode(texts))
                }
            columns = (read[number] for number in range(len(readout.feeds)))
            return [list(of_text) for of_text in zip(*columns, strict=True)]

        n_more = len(self.begin) + max(map(len, readout.feeds))
        read = self.passes(prompts, masks, evaluate, n_more)
        return readout.combine([np.stack(column) for column in zip(*read, strict=True)])

    def _encode(self, texts: Sequence[Text]) -> Callable[[Tokens], torch.Tensor]:
        """Encode a batch of b texts.

        Returns:
            From f tokens to the logits of the decoder that reads them, at the last token that it
            begins with and at each of them: ``(b, f + 1, vocabulary)``.
        """
        import torch

        inputs = self.passes.inputs(texts, self._encoder.forward)
        attention = self.passes.attention(texts)
        encoded = self._encoder(**inputs)

        def decode(feed: Tokens) -> torch.Tensor:
            ids = torch.tensor([[*self.begin, *feed]] * len(texts), device=self.model.device)
            logits: torch.Tensor = self.model(
                encoder_outputs=encoded,
                attention_mask=attention,
                decoder_input_ids=ids,
                use_cache=False,
            ).logits
            return logits[:, len(self.begin) - 1 :]

        return decode

    def _outputs_of(self, texts: Sequence[Text]) -> list[torch.Tensor]:
        """The logits of an answer's first token for each text, for the equivalence checks."""
        import torch

        with torch.inference_mode():
            return list(self._encode(texts)(())[:, 0].double())

    def _check_parts(self, prompt: Sequence[int], feed: Tokens) -> None:
        """Refuse a model that gives other logits as a whole than in two parts.

        The whole model is given nothing but the tokens of the prompt and of the answer, and once
        only those that the answer begins with, since a decoder may not look ahead.
        """
        import torch

        (text,) = self.passes.texts([prompt], None)
        ids = torch.tensor([text[0]], device=self.model.device)

        def whole(feed: Tokens) -> torch.Tensor:
            fed = torch.tensor([[*self.begin, *feed]], device=self.model.device)
            logits: torch.Tensor = self.model(
                input_ids=ids, decoder_input_ids=fed, use_cache=False
            ).logits[0, -1]
            return logits.to(torch.float32, copy=True)

        with torch.inference_mode():
            expected = torch.stack([whole(()), whole(feed)])
            try:
                parts = self._encode([text])(feed)[0, [0, -1]].float()
            except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
                if out_of_memory(error):
                    raise
                reason = f"{type(error).__name__}: {error}"
            else:
                difference = float((parts - expected).abs().max() / expected.abs().max())
                if difference <= relative_tolerance(self.model):  # False for NaN
                    return
                reason = f"logits differ by {difference:.1%} of the largest"
        raise ValueError(
            f"{type(self.model).__name__} cannot be used as a text model: its encoder and its "
            f"decoder by themselves do not give what the whole model gives ({reason})"
        )


def _of_feeds(
    feeds: Sequence[Tokens], decode: Callable[[Tokens], torch.Tensor]
) -> Iterator[tuple[int, torch.Tensor]]:
    """The number and the logits of each feed. What another one begins with shares its pass."""
    todo = sorted(range(len(feeds)), key=lambda n: -len(feeds[n]))
    while todo:
        longest = feeds[todo[0]]
        logits = decode(longest)
        shared = [n for n in todo if longest[: len(feeds[n])] == feeds[n]]
        for number in shared:
            yield number, logits[:, : len(feeds[number]) + 1]
        todo = [n for n in todo if n not in shared]
