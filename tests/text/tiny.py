"""A tokenizer of few words, and small random models in which every token matters."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = 40
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
PAD, CLS, SEP = 0, 1, 2
VOCABULARY = len(SPECIAL) + WORDS


def word_tokenizer(framed: bool = True, kind: int = 0) -> Any:
    """Words w0 to w39, a token each; ``framed`` by [CLS], of a token type, and [SEP], or bare."""
    words = {name: n for n, name in enumerate((*SPECIAL, *(f"w{n}" for n in range(WORDS))))}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if framed:
        backend.post_processor = processors.TemplateProcessing(
            single=f"[CLS]:{kind} $A:0 [SEP]:0", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        pad_token="[PAD]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"]
        if framed
        else ["input_ids", "attention_mask"],
    )


def tiny(auto: Any, config: Any, scale: float = 12.0) -> Any:
    """A random model whose matrices are large enough that every token and its place matter."""
    torch.manual_seed(0)
    model = auto.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
    return model
