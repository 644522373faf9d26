"""Titles of reports: what was asked, in words that whoever has read nothing understands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, TypedDict

from interplay._types import Count, Json, check, visible
from interplay.explanation.wording import LINE, OF_TWO, quoted, score_of

_TAG = re.compile(r"<\|[^|>]*\|>|</?s>|\[/?INST\]")
"""What chat templates write around messages."""
_TRAINED = {
    "logistic": "a logistic regression",
    "ridge": "a ridge classifier",
    "network": "a neural network",
    "estimator": "a classifier",
}
"""What is trained, by the kind of trainer."""
_EACH = {"token": "each token of ", "sentence": "each sentence of ", "line": "each line of "}
"""What is scored of an answer with several outputs, by how it is reduced."""
_APART = {"model": "", "dtype": "", "by": "by ", "masking": "masking "}
"""Entries of descriptions by which two compared games are told apart, and what to say before."""
_NAMED = 3
"""The most answers that are named."""


def question(description: Json, title: str) -> str:
    """What was asked, in words, such as "Probability of ' no' after 'Is it so?'".

    Args:
        description: of the game.
        title: what to say where the game does not tell.
    """
    if description.get("compared"):
        old, new = description["compared"]["names"]
        what = in_common(*(question(one, "") for one in description["compared"]["descriptions"]))
        return visible(f"{old} and {new} compared{': ' if what else ''}{what}")
    name = score_of(description)
    name = name[:1].upper() + name[1:]
    targets: Sequence[Json] = description.get("targets") or ()
    text = description.get("text")
    if description.get("lens") == "images" and targets:
        where = "the image" if text is None else "the image and the text"
        return visible(f"{_asked_of_all(targets, name) or name}, by {where}")
    if targets and isinstance(text, str):
        where = _where(description, text)
        asked = _asked_of_all(targets, name)
        if not asked and not where:
            return title
        between = ", " if asked and where and len(targets) > 1 else " "
        return visible(f"{asked or name}{between}{where}".strip())
    lens = description.get("lens")
    if lens == "components" and (description.get("model") or description.get("task")):
        return visible(_of_task(description, name))
    if lens == "training":
        return visible(f"{name}{_trained(description)}")
    return title


def apart(description: Json) -> tuple[str, str] | None:
    """What tells the two games of a comparison apart, of each; ``None``: no entry of their records.

    Args:
        description: of the comparison.
    """
    first, second = description["compared"]["descriptions"]
    asked = question(first, ""), question(second, "")
    common = in_common(*asked)
    told = [(asked[0].removeprefix(common).strip(), asked[1].removeprefix(common).strip())]
    for key, before in _APART.items():
        told.append((entry_of(first.get(key), before), entry_of(second.get(key), before)))
    kept = [(one, other) for one, other in told if one != other]
    if not kept:
        return None
    old, new = (visible(", ".join(filter(None, side))) for side in zip(*kept, strict=True))
    return old, new


def in_common(one: str, other: str) -> str:
    """What two questions begin with alike: all, or the score and the answer; else nothing."""
    if one == other:
        return one
    for between in (" after '", " in answer to '"):
        first, second = (asked.partition(between)[0] for asked in (one, other))
        if first == second and between in one and between in other:
            return first
    return ""


def entry_of(value: Any, before: str = "") -> str:
    """An entry of a description in a line, with a word before it; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, dict) and set(value) == {"kind"}:
        value = value["kind"]
    text = value.removeprefix("torch.") if isinstance(value, str) else json.dumps(value)
    return before + text


def _asked_of_all(targets: Sequence[Json], name: str) -> str:
    """The score of an answer, and how many more there are; empty where it is of another kind."""
    if len(targets) == 1:
        has_parts = targets[0].get("reduction") in _EACH
        return _asked_of(targets[0], name, LINE // 2 if has_parts else 2 * LINE)
    first = _asked_of(targets[0], name, LINE // 2)
    return first and f"{first} and {len(targets) - 1} more"


def _asked_of(target: Json, name: str, most: int) -> str:
    """The score of an answer, in words; empty where the target is of another kind.

    Args:
        target: as a game describes it.
        name: of the score.
        most: the most characters of an answer.
    """
    kind = target.get("kind")
    if kind == "Response":
        answer, each = _part(target), _EACH.get(str(target.get("reduction")), "")
        own = "the model's own answer"
        return f"{name} of {each}{quoted(answer, most) if answer else own}"
    if kind in OF_TWO:
        return f"{quoted(target['positive'], most)} rather than {quoted(target['negative'], most)}"
    if kind == "Options":
        return f"{name} of {_or(target['texts'])}"
    if kind == "Output":
        shown = quoted(str(target["name"]), most)
        against = target.get("against")
        if against is None:
            return f"{name} of {shown}"
        return f"{shown} rather than {quoted(against, most)}"
    if kind == "Label":
        return f"{name} of the label {quoted(str(target['name']), most)}"
    return ""


def _part(target: Json) -> str | None:
    """The part of an answer that is scored: all of it, unless the target names one."""
    text, part = target.get("text"), target.get("part")
    if not isinstance(text, str) or part is None:
        return text
    return part if isinstance(part, str) else text[slice(*part)]


def _or(answers: Sequence[str]) -> str:
    """Some of several answers, in a sentence."""
    named = [quoted(answer) for answer in answers[:_NAMED]]
    rest = len(answers) - len(named)
    if rest:
        return f"{', '.join(named)} or {rest} other{'s' if rest > 1 else ''}"
    return " or ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _where(description: Json, text: str) -> str:
    """The end of the prompt, after which the answer stands."""
    turns = (description.get("view") or {}).get("turns") or ()
    if turns:
        role, start, stop = turns[-1]
        return _after(text[start:stop], role)
    if any(target.get("kind") == "Label" for target in description.get("targets") or ()):
        return ""
    lines = [line.strip() for line in _TAG.sub("\n", text).splitlines()]
    said = [line for line in lines if line and line not in ("assistant", "user", "system")]
    return f"after {quoted(_end(said[-1]))}" if said else ""


def _after(text: str, role: str | None) -> str:
    """The end of a prompt, or of a message by its role, before an answer."""
    return f"{'in answer to' if role == 'user' else 'after'} {quoted(_end(text))}"


def _end(text: str) -> str:
    """The last line of a text, or its last words."""
    line = next((line for line in reversed(text.strip().splitlines()) if line.strip()), "").strip()
    if len(line) <= LINE:
        return line
    cut = line[-LINE:]
    return "…" + (cut[cut.index(" ") :] if " " in cut[:20] else cut)


class _Example(TypedDict):
    prompt: str
    role: str | None
    answer: str
    wrong: list[str]


class _Task(TypedDict):
    name: str
    n_items: Count
    predicts: str
    example: _Example


def _of_task(description: Json, name: str) -> str:
    """What a task of many questions asks: its name, the score, and the first question."""
    task = description.get("task")
    try:
        check(task, _Task, "task")
        assert task is not None
    except ValueError:  # of another game than the lens's own, or a file that somebody changed
        model = description.get("model") or "the model"
        return f"{name} of {model} on its task, by its components"
    example, where = task["example"], ""
    is_label = task["predicts"] == "label"
    asked = quoted(example["answer"])
    if name in ("Margin", "Accuracy") and example["wrong"]:
        asked += f" over {_or(example['wrong'])}"
    if task["predicts"] == "next":
        where = _after(example["prompt"], example["role"])
    else:
        where = f"{'for' if is_label else 'in'} {quoted(example['prompt'])}"
    about = re.sub(r"[\s_-]+", " ", task["name"]).strip()
    score = f"{about[:1].upper()}{about[1:]}: {name[:1].lower()}{name[1:]}" if about else name
    choosing = "choosing " if name == "Accuracy" else ""
    count = f" (the first of {task['n_items']} questions)" if task["n_items"] > 1 else ""
    label = "the label " if is_label else ""
    return f"{score} of {choosing}{label}{asked} {where}{count}"


def _trained(description: Json) -> str:
    """Where a trained model was scored, how it was trained, and on what."""
    kind = (description.get("trainer") or {}).get("kind")
    n_outputs = len(description.get("outputs") or ())
    if description.get("questions"):
        where = f" at {n_outputs} questions" if n_outputs > 1 else ""
        return f"{where} after fine-tuning {description.get('model') or 'a model'}, by its examples"
    where = f" at {n_outputs} test points" if n_outputs > 1 else ""
    trained = _TRAINED.get(str(kind)) or description.get("model") or kind or "a model"
    return f"{where} after training {trained}, by its training data"
