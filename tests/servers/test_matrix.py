"""Every method against servers that people run, compared with the same model here.

``make test-servers`` sets the environment up and prints what was measured, the table in
docs/api-models.md. Without the environment, vLLM and ``transformers serve`` are skipped.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from interplay.errors import GameError
from interplay.fourier.masks import every_mask
from interplay.text import (
    ApiGame,
    Contrast,
    Generated,
    LogitDifference,
    Options,
    Response,
    TextGame,
)
from tests.servers.processes import LISTED, Server
from tests.servers.table import MEASURED

pytestmark = [pytest.mark.server, pytest.mark.model, pytest.mark.slow]

TEXT = "Anna lives in Paris. Ben was born in Rome. The café is closed."
PROMPT = "{text} So Anna lives in the city of"
CHAT = [
    {"role": "system", "content": "You answer in one word."},
    {"role": "user", "content": "{text} In which city does Anna live?"},
]
MASKS = every_mask(3)
LARGEST = {"vllm": 1e-3, "llama": 0.5, "transformers": 1e-3}
"""The largest difference from the local model that is due to rounding. llama.cpp computes with the
same weights of four bits, and also rounds what it multiplies."""


def text_itself(answer: str, original: str) -> float:
    """A number that is the same for the same answer."""
    return float(zlib.crc32(answer.encode()))


@dataclass(frozen=True)
class Case:
    """One way to ask: a row of the table.

    Attributes:
        name: what the table calls it.
        target: what is scored.
        prompt: of a text or a chat.
        method: how; ``None``: the game's choice.
        by: the outcome on each server: the method that answers, or ``"refused"``.
    """

    name: str
    target: Any
    prompt: Any
    method: str | None = None
    vllm: str = "echo"
    llama: str = "refused"
    transformers: str = "refused"


_GREEK = Response(" ἄνθρωπος 😀")
_WORDS = (" Paris", " Rome")
_LONG = (" New York City", " Paris")
CASES = [
    Case("`Response`, `logprob`", Response(" Paris, France"), PROMPT),
    Case("`Response` without a text", Response(), PROMPT, vllm="refused"),
    Case("`Response`, `prob`", Response(" Paris", "prob"), PROMPT),
    Case("`Response`, `logit`", Response(" Paris", "logit"), PROMPT),
    Case("`Response`, `mean`", Response(" Paris, France", reduction="mean"), PROMPT),
    Case("`Response`, `token`", Response(" Paris, France", reduction="token"), PROMPT),
    Case("`Response`, pieces of characters", _GREEK, PROMPT),
    Case(
        "`Response`, `prompt_logprobs`",
        Response(" Paris, France"),
        PROMPT,
        "prompt_logprobs",
        "prompt_logprobs",
    ),
    Case(
        "`Response`, pieces, `prompt_logprobs`",
        _GREEK,
        PROMPT,
        "prompt_logprobs",
        "prompt_logprobs",
    ),
    Case("`Options` of one token", Options(_WORDS), PROMPT, llama="top_logprobs"),
    Case(
        "`Options` of one token, `top_logprobs`",
        Options(_WORDS, "logprob"),
        PROMPT,
        "top_logprobs",
        "top_logprobs",
        "top_logprobs",
    ),
    Case("`Options` of several tokens", Options(_LONG, "logprob"), PROMPT),
    Case("`LogitDifference`", LogitDifference(*_WORDS), PROMPT, llama="top_logprobs"),
    Case("`Contrast` of one token", Contrast(*_WORDS), PROMPT, llama="top_logprobs"),
    Case("`Contrast` of several tokens", Contrast(*_LONG), PROMPT),
    Case(
        "`Generated`",
        Generated(text_itself, "text", max_tokens=8),
        PROMPT,
        None,
        "generate",
        "generate",
        "generate",
    ),
    Case("chat: `Response`", Response("Paris, France"), CHAT, vllm="prompt_logprobs"),
    Case(
        "chat: `Response`, `token`",
        Response("Paris, France", reduction="token"),
        CHAT,
        vllm="prompt_logprobs",
    ),
    Case(
        "chat: `Options` of one token",
        Options(("Paris", "Rome")),
        CHAT,
        vllm="top_logprobs",
        llama="top_logprobs",
    ),
    Case(
        "chat: `Options` of several tokens",
        Options(("New York City", "Paris"), "logprob"),
        CHAT,
        vllm="prompt_logprobs",
    ),
    Case(
        "chat: `LogitDifference`",
        LogitDifference("Paris", "Rome"),
        CHAT,
        "prompt_logprobs",
        "prompt_logprobs",
    ),
    Case(
        "chat: `Contrast` of several tokens",
        Contrast("New York City", "Paris"),
        CHAT,
        vllm="prompt_logprobs",
    ),
    Case(
        "chat: `Generated`",
        Generated(text_itself, "text", max_tokens=8),
        CHAT,
        None,
        "generate",
        "generate",
        "generate",
    ),
]


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, dict[str, str]]]:
    """The table: of each case what each server did. It is written when the module ends."""
    table: dict[str, dict[str, str]] = {}
    yield table
    MEASURED.parent.mkdir(exist_ok=True)
    MEASURED.write_text(json.dumps(table, indent=1, ensure_ascii=False))


@pytest.fixture(scope="module")
def local(smollm: Any) -> Callable[[Case], np.ndarray]:
    """The values of the same model here, with what was computed once."""
    known: dict[str, np.ndarray] = {}

    def values(case: Case) -> np.ndarray:
        key = f"{case.target!r} {case.prompt!r}"
        if key not in known:
            known[key] = TextGame(*smollm, TEXT, case.target, prompt=case.prompt)(MASKS)
        return known[key]

    return values


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_method_is_exact_or_refused(
    case: Case, server: Server, local: Callable[[Case], np.ndarray], measured: dict[str, Any]
) -> None:
    expected = getattr(case, server.kind)
    row = measured.setdefault(case.name, {})
    try:
        game = ApiGame(
            server.model,
            TEXT,
            case.target,
            base_url=server.url,
            prompt=case.prompt,
            method=case.method,
            top_logprobs=LISTED if server.kind == "vllm" else 1000,
        )
        values = game(MASKS)
    except (GameError, ValueError):
        row[server.kind] = "refused"
        if expected != "refused":
            raise
        return
    method = game.observed()["method"]
    assert method == expected
    if method == "generate":
        equal = int((values == local(case)).sum())
        row[server.kind] = f"{equal} of {len(MASKS)} texts the same"
        assert equal >= (len(MASKS) / 2 if server.kind == "llama" else len(MASKS))
        return
    difference = float(np.abs(values - local(case)).max())
    row[server.kind] = f"`{method}`, {difference:.1g}"
    assert difference <= LARGEST[server.kind]
    assert game.observed()["asked_again"]["largest_difference"] <= 1e-4
