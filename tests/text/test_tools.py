"""Tools of a chat template as players, in the layouts in which templates write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.fourier.masks import every_mask
from interplay.text import Options, Replace, TextGame

pytestmark = pytest.mark.model

_BODY = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LINES = (
    "{% if tools %}<|im_start|>system\n# Tools\n<tools>{% for tool in tools %}{{ '\n' }}"
    "{{ tool | tojson }}{% endfor %}\n</tools><|im_end|>\n{% endif %}" + _BODY
)
INDENTED = (
    "{% if tools %}<|im_start|>system\nYou can call:\n\n{% for tool in tools %}"
    "{{ tool | tojson(indent=4) }}{{ '\n\n' }}{% endfor %}<|im_end|>\n{% endif %}" + _BODY
)
LISTED = (
    "{% if tools %}<|im_start|>tools\n[{% for tool in tools %}{{ tool.function | tojson }}"
    "{% if not loop.last %}, {% endif %}{% endfor %}]<|im_end|>\n{% endif %}" + _BODY
)
IN_SYSTEM = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% if loop.first %}{% for tool in tools %}{{ '\n' }}{{ tool | tojson }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NUMBERED = (
    "{% if tools %}{% for tool in tools %}{{ loop.index }}. {{ tool | tojson }}\n{% endfor %}"
    "{% endif %}" + _BODY
)
NAMES = "{% for tool in tools %}{{ tool.function.name }} {% endfor %}" + _BODY
LAYOUTS = [LINES, INDENTED, LISTED, IN_SYSTEM]

CHAT = [
    {"role": "system", "content": "Answer with a tool."},
    {"role": "user", "content": "Is it raining? I am in Oslo."},
]


def tool(name: str, about: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": about}}


TOOLS = [tool("weather", "the weather of a town"), tool("mail", "sends"), tool("map", "a map")]


@pytest.fixture
def tokenizer(smollm: Any) -> Iterator[Any]:
    found = smollm[1]
    own = found.chat_template
    yield found
    found.chat_template = own


def game(smollm: Any, layout: str, chat: Any = CHAT, **settings: Any) -> TextGame:
    smollm[1].chat_template = layout
    target = Options((" weather", " mail"), score="logprob")
    return TextGame(*smollm, chat, target, **{"tools": TOOLS} | settings)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_removed_tool_is_as_if_it_had_never_been_given(
    smollm: Any, tokenizer: Any, layout: str
) -> None:
    with_tools = game(smollm, layout)
    names = ["tool weather", "tool mail", "tool map"]
    at = [with_tools.players.index(name) for name in names]
    assert len(with_tools.players) == 6
    spans = with_tools.masked.spans
    assert list(spans) == sorted(spans)
    masks = every_mask(3)[1:]
    everything = np.ones((len(masks), 6), dtype=bool)
    everything[:, at] = masks
    for mask, kept in zip(everything, masks, strict=True):
        left = [entry for entry, is_kept in zip(TOOLS, kept, strict=True) if is_kept]
        plain = game(smollm, layout, tools=None, template={"tools": left})
        assert with_tools.prompt(mask) == plain.prompt(np.ones(plain.n_players, dtype=bool))
        assert with_tools._rows(mask[None]).ids == [list(plain.unmasked_ids)]
    nothing = with_tools.prompt(~np.isin(np.arange(6), at))
    assert "weather of" not in nothing
    assert "Is it raining?" in nothing


def test_tools_go_with_the_segments_of_a_chat(smollm: Any, tokenizer: Any) -> None:
    by_message = game(smollm, IN_SYSTEM, by="message")
    assert by_message.players == ("Answer with a tool.", *(f"tool {n}" for n in ("weather", "mail",
                                  "map")), CHAT[1]["content"])  # fmt: skip
    mask = np.array([False, True, False, True, True])
    prompt = by_message.prompt(mask)
    assert "Answer" not in prompt
    assert '"weather"' in prompt
    assert '"mail"' not in prompt
    replaced = game(smollm, LISTED, masking=Replace("..."), by="message")
    assert "[..., " in replaced.prompt(np.array([False, *[True] * 4]))
    attention = game(smollm, LINES, masking="attention")
    assert np.isfinite(attention(np.zeros((1, 6), dtype=bool))).all()


def test_results_of_tools_and_tools_alone(smollm: Any, tokenizer: Any) -> None:
    chat = [
        *CHAT,
        {"role": "assistant", "content": "", "tool_calls": []},
        {"role": "tool", "content": "Rain in Oslo."},
        {"role": "tool", "content": "Sun in Rome."},
    ]
    results = game(smollm, LINES, chat, by="tool", tools=None)
    assert results.players == ("Rain in Oslo.", "Sun in Rome.")
    assert "Rome" not in results.prompt(np.array([True, False]))
    both = game(smollm, LINES, chat, by="tool", tools=[TOOLS[0], {**TOOLS[1], "fixed": True}])
    assert both.players == ("tool weather", "Rain in Oslo.", "Sun in Rome.")
    nothing = both.prompt(np.zeros(3, dtype=bool))
    assert '"mail"' in nothing
    assert "fixed" not in nothing
    alone = game(smollm, LINES, by="tool")
    assert alone.players == ("tool weather", "tool mail", "tool map")
    explanation = ip.explain(alone)
    assert explanation.faithfulness.exact
    assert alone.describe()["template_arguments"]["tools"] == TOOLS
    assert alone.fingerprint != game(smollm, LINES, by="tool", tools=TOOLS[:2]).fingerprint


def test_what_cannot_be_ablated_is_refused(smollm: Any, tokenizer: Any) -> None:
    own = tokenizer.chat_template
    for layout, settings, match in (
        (NUMBERED, {}, "writes the other tools otherwise without 'weather'"),
        (NAMES, {}, "does not write the tool 'weather' once as JSON"),
        (own, {}, "does not write the tool 'weather' once as JSON"),
        (LINES, {"tools": []}, "no tools were given"),
        (LINES, {"tools": [{"type": "function"}]}, "is no tool; it needs a name"),
        (LINES, {"template": {"tools": TOOLS}}, "given twice"),
        (LINES, {"by": "tool", "tools": None}, "nothing is left to ablate"),
        (LINES, {"by": "tool", "tools": [{**TOOLS[0], "fixed": True}]}, "nothing is left"),
    ):
        with pytest.raises(ValueError, match=match):
            game(smollm, layout, **settings)
    with pytest.raises(ValueError, match="the prompt is no chat"):
        game(smollm, LINES, "It rains.")
    with pytest.raises(ValueError, match='by="tool" needs the messages'):
        game(smollm, LINES, "It rains.", by="tool", prompt=[{"role": "user", "content": "{text}"}])
