"""Examples and questions as the tokens that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from interplay._types import shown
from interplay.text.prompts.chat import ChatTemplate
from interplay.text.prompts.tokens import Encoder, Tokens
from interplay.training.finetuning.examples import Example, Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoded:
    """A prompt and what follows it, as tokens.

    Attributes:
        tokens: of the whole text.
        n_prompt: how many of them are the prompt's, 1 or more. The others are learned, or scored,
            each from the tokens before it.
    """

    tokens: Tokens
    n_prompt: int

    @property
    def response(self) -> Tokens:
        """The tokens after the prompt's."""
        return self.tokens[self.n_prompt :]


@dataclass(frozen=True)
class EncodedQuestion:
    """A question with each of its answers, as tokens; ``against`` may be ``None``."""

    answer: Encoded
    against: Encoded | None


def encode_examples(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], chat: bool = False
) -> tuple[Encoded, ...]:
    """Encode each row as one text: the prompt, and the response right after it.

    The response's tokens are those that follow the prompt's in the tokens of the whole text. Where
    the tokenizer merges the end of the prompt with the response, the merged token is learned.

    Args:
        tokenizer: the model's.
        examples: the rows.
        chat: whether the tokenizer's chat template writes the text, of a user's message and an
            assistant's. What it writes after the response, such as the mark of the turn's end, is
            then learned too.

    Raises:
        ValueError: a row has no token to learn; or has no prompt, or the template changes it, in a
            chat.
    """
    encoder = Encoder(tokenizer, chat)
    template = ChatTemplate(tokenizer) if chat else None
    prompts, texts = [], []
    for number, row in enumerate(examples):
        if template is None:
            prompts.append(row.prompt)
            texts.append(row.prompt + row.response)
            continue
        if not row.prompt:
            raise ValueError(
                f"examples[{number}] has no prompt, which a chat needs; give one, or leave out "
                "chat=True"
            )
        asked = [{"role": "user", "content": row.prompt}]
        answered = [*asked, {"role": "assistant", "content": row.response}]
        prompts.append(template(asked))
        texts.append(template(answered, last=False))
        if not texts[-1].startswith(prompts[-1]):
            raise ValueError(
                f"the chat template writes examples[{number}] ({shown(row.prompt)}) in another way "
                "once it is answered, so its response cannot be told apart; write the chat as text "
                "in the prompt and leave out chat=True"
            )
    encoded = []
    pairs = zip(_ids(encoder, prompts), _ids(encoder, texts), strict=True)
    for number, (prompt, whole) in enumerate(pairs):
        n_same = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(prompt, whole, strict=False))
        )
        n_prompt = max(n_same, 1)
        if len(whole) <= n_prompt:
            raise ValueError(
                f"examples[{number}] ({shown(examples[number].response)}) has no token to learn: a "
                "text without a prompt is learned from its second token on; give a longer text"
            )
        encoded.append(Encoded(tuple(whole), n_prompt))
    return tuple(encoded)


def encode_questions(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], chat: bool = False
) -> tuple[EncodedQuestion, ...]:
    """Encode each question with each of its answers.

    Args:
        tokenizer: the model's.
        questions: what is asked.
        chat: whether the prompt is a user's message in the tokenizer's chat template.

    Raises:
        ValueError: the tokenizer merges a prompt's end with an answer, whose log-probability is
            then not that of its tokens; or it has no token for a character of an answer.
    """
    encoder = Encoder(tokenizer, chat)
    template = ChatTemplate(tokenizer) if chat else None
    encoded = []
    for number, question in enumerate(questions):
        text = question.prompt
        if template is not None:
            text = template([{"role": "user", "content": text}])
        prompt = tuple(_ids(encoder, [text])[0])
        answers = [question.answer, *([] if question.against is None else [question.against])]
        written = _ids(encoder, [text + answer for answer in answers])
        for answer, tokens in zip(answers, written, strict=True):
            if tuple(tokens[: len(prompt)]) != prompt or len(tokens) == len(prompt) or not prompt:
                raise ValueError(
                    f"questions[{number}]: the tokenizer merges the end of the prompt "
                    f"{shown(text[-20:])} with the answer {shown(answer)}; move the prompt's last "
                    "space or characters to the beginning of the answer"
                )
            unknown = tokenizer.unk_token_id
            if unknown in tokens[len(prompt) :] and str(tokenizer.unk_token) not in answer:
                raise ValueError(
                    f"questions[{number}]: the tokenizer lacks a token for a part of the answer "
                    f"{shown(answer)}, so that no model of it can give this answer; ask for another"
                )
        first, *others = (Encoded(tuple(tokens), len(prompt)) for tokens in written)
        encoded.append(EncodedQuestion(first, others[0] if others else None))
    return tuple(encoded)


def _ids(encoder: Encoder, texts: Sequence[str]) -> list[list[int]]:
    return encoder([[(text, False)] for text in texts])
