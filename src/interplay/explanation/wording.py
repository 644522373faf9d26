"""What was asked and what was scored, in words: titles of reports, and the score's name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from math import inf
from typing import Any

from interplay._types import Json, visible

_TAG = re.compile(r"<\|[^|>]*\|>|</?s>|\[/?INST\]")
"""What chat templates write around messages."""
_TAIL = 70
_SCORES = {
    "prob": "probability",
    "logprob": "log-probability",
    "logprob_per_token": "log-probability per token",
    "logit": "logit",
    "correct": "accuracy",
}
_UNITS = {
    "log-probability": "nats",
    "logit": "nats",
    "log-odds": "nats",
    "margin": "nats",
    "log-probability per token": "nats",
}
_SHARES = ("probability", "share", "accuracy")
"""Scores from 0 to 1."""
_TRAINED = {
    "logistic": "a logistic regression",
    "ridge": "a ridge classifier",
    "network": "a neural network",
    "estimator": "a classifier",
}
"""What is trained, by the kind of trainer."""
_APART = {"model": "", "dtype": "", "by": "by ", "masking": "masking "}
"""Entries of descriptions by which two compared games are told apart, and what to say before."""
_OF_TWO = ("Contrast", "LogitDifference")


def score_of(description: Json, output: int = 0) -> str:
    """What a score is called in a sentence, after "the".

    Args:
        description: of the game.
        output: the number of the output.
    """
    targets = description.get("targets") or [{}]
    target = targets[output] if output < len(targets) else targets[0]
    if target.get("kind") in _OF_TWO:
        return "margin"
    scores = description.get("scores") or ()
    of_questions = description.get("score") if description.get("questions") else None
    name = target.get("score") or of_questions or (scores[output] if output < len(scores) else None)
    name = str(name or description.get("score") or "score")
    if name == "auto":  # of questions, some with another answer to compare with
        against = [one.get("against") is not None for one in description.get("questions") or ()]
        if not against or any(against) != all(against):
            return "score"
        return "margin" if all(against) else "log-probability"
    if target.get("kind") == "Response" and name == "logit":
        return "log-odds"
    if target.get("reduction") == "mean" and name == "logprob":
        name = "logprob_per_token"
    return _SCORES.get(name, name if re.fullmatch(r"[a-z ]{1,24}", name) else "score")


def bounds_of(description: Json) -> tuple[float, float]:
    """The least and the largest value that the first score can have."""
    return (0.0, 1.0) if score_of(description) in _SHARES else (-inf, inf)


def unit_of_score(description: Json, output: int = 0) -> str:
    """The unit of a score, or an empty text where it has none or it is not known."""
    if description.get("lens") not in ("text", "components"):
        return ""
    return _UNITS.get(score_of(description, output), "")


def sides(description: Json) -> tuple[str, str] | None:
    """What the first score speaks for above 0, and what below; ``None``: 0 is no border of it.

    Args:
        description: of the game.
    """
    target = (description.get("targets") or [{}])[0]
    if target.get("kind") in _OF_TWO:
        return _two(target["positive"], target["negative"])
    if target.get("kind") == "Output" and target.get("against") is not None:
        return _two(str(target["name"]), str(target["against"]))
    name = score_of(description)
    if name == "log-odds":
        answer = target.get("text")
        return _short(answer) if answer else "the model's own answer", "all other answers together"
    asked = description.get("questions") or ()
    if name == "margin" and asked:
        if len(asked) == 1:
            return _two(asked[0]["answer"], asked[0]["against"])
        return "the answers asked for", "those against them"
    if name == "margin" and description.get("lens") == "components":
        return "the right answers", "wrong answers"
    if name == "margin" and description.get("classes"):
        return "the right class", "another class"
    return None


def leaning(description: Json, value: float) -> str:
    """What a value of the first score speaks for; empty where 0 is no border."""
    speaks_for = sides(description)
    if speaks_for is None or value == 0:
        return ""
    return speaks_for[value < 0]


def signs(description: Json) -> str:
    """What a score above 0 speaks for, and one below, in words; empty where 0 is no border."""
    speaks_for = sides(description)
    if speaks_for is None:
        return ""
    return f"above 0 speaks for {speaks_for[0]}, below 0 for {speaks_for[1]}"


def against_scored(description: Json, full: float | None, own_answer: str) -> str:
    """What to say where the first score is not of what the model answers; else an empty text.

    Args:
        description: of the game.
        full: the value of the whole input; ``None``: it was not measured.
        own_answer: the model's own answer to that; empty: it is not known.
    """
    target = (description.get("targets") or [{}])[0]
    is_of_two = target.get("kind") in _OF_TWO
    scored = [target["positive"], target["negative"]] if is_of_two else [target.get("text")]
    if own_answer and target.get("kind") in (*_OF_TWO, "Response") and all(scored):
        answered = [_answers(own_answer, text) for text in scored]
        if not any(answered):
            of = "two other answers" if is_of_two else f"another answer, {_short(scored[0])}"
            return f"The score is of {of}."
        if answered[0]:
            return ""
    if full is None or full >= 0 or score_of(description) == "log-odds":
        return ""
    speaks_for = sides(description)
    if speaks_for is None:
        return ""
    return f"With everything the score speaks for {speaks_for[1]}, not for {speaks_for[0]}."


def _answers(own_answer: str, scored: str) -> bool:
    """Whether an answer, or its beginning, has the words that are scored."""
    own, words = (" ".join(text.split()).casefold() for text in (own_answer, scored))
    return words.startswith(own) or bool(re.search(rf"(?<!\w){re.escape(words)}(?!\w)", own))


def _short(text: str) -> str:
    """An answer in a sentence."""
    return f"'{named(text, 24)}'"


def _two(one: str, other: str) -> tuple[str, str]:
    """Two answers in a sentence; as they are if nothing but white space tells them apart."""
    shown = _short(one), _short(other)
    return shown if shown[0] != shown[1] else (_quoted(one), _quoted(other))


def question(description: Json, title: str) -> str:
    """What was asked, in words, such as "Probability of ' no' after 'Is it so?'".

    Args:
        description: of the game.
        title: what to say where the game does not tell.
    """
    if description.get("compared"):
        old, new = description["compared"]["names"]
        what = _in_common(*(question(one, "") for one in description["compared"]["descriptions"]))
        return visible(f"{old} and {new} compared{': ' if what else ''}{what}")
    name = score_of(description)
    name = name[:1].upper() + name[1:]
    targets: Sequence[Json] = description.get("targets") or ()
    text = description.get("text")
    if description.get("lens") == "images" and len(targets) == 1:
        where = "the image" if text is None else "the image and the text"
        return visible(f"{_asked_of(targets[0], name)}, by {where}")
    if len(targets) == 1 and isinstance(text, str):
        asked = _asked_of(targets[0], name)
        return visible(f"{asked} {_where(description, text)}".strip()) if asked else title
    lens, model = description.get("lens"), description.get("model")
    if lens == "components" and model:
        return visible(f"{name} of {model} on its task, by its components")
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
    common = _in_common(*asked)
    told = [(asked[0].removeprefix(common).strip(), asked[1].removeprefix(common).strip())]
    for key, before in _APART.items():
        told.append((_entry(first.get(key), before), _entry(second.get(key), before)))
    kept = [(one, other) for one, other in told if one != other]
    if not kept:
        return None
    old, new = (visible(", ".join(filter(None, side))) for side in zip(*kept, strict=True))
    return old, new


def _in_common(one: str, other: str) -> str:
    """What two questions begin with alike: all, or the score and the answer; else nothing."""
    if one == other:
        return one
    for between in (" after '", " in answer to '"):
        first, second = (asked.partition(between)[0] for asked in (one, other))
        if first == second and between in one and between in other:
            return first
    return ""


def _entry(value: Any, before: str) -> str:
    """An entry of a description in a line, with a word before it; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, dict) and set(value) == {"kind"}:
        value = value["kind"]
    text = value.removeprefix("torch.") if isinstance(value, str) else json.dumps(value)
    return before + text


def _asked_of(target: Json, name: str) -> str:
    """The score of an answer, in words; empty where the target is of another kind."""
    if target.get("kind") == "Response":
        answer = target.get("text")
        return f"{name} of {_quoted(answer)}" if answer else f"{name} of the model's own answer"
    if target.get("kind") in _OF_TWO:
        positive, negative = target["positive"], target["negative"]
        return f"{_quoted(positive)} rather than {_quoted(negative)}"
    if target.get("kind") == "Output":
        shown = _quoted(str(target["name"]))
        against = target.get("against")
        return (
            f"{name} of {shown}" if against is None else f"{shown} rather than {_quoted(against)}"
        )
    if target.get("kind") == "Label":
        return f"{name} of the label {_quoted(str(target['name']))}"
    return ""


def _where(description: Json, text: str) -> str:
    """The end of the prompt, after which the answer stands."""
    turns = (description.get("view") or {}).get("turns") or ()
    if turns:
        role, start, stop = turns[-1]
        word = "in answer to" if role == "user" else "after"
        return f"{word} {_quoted(_end(text[start:stop]))}"
    if any(target.get("kind") == "Label" for target in description.get("targets") or ()):
        return ""
    lines = [line.strip() for line in _TAG.sub("\n", text).splitlines()]
    said = [line for line in lines if line and line not in ("assistant", "user", "system")]
    return f"after {_quoted(_end(said[-1]))}" if said else ""


def _end(text: str) -> str:
    """The last line of a text, or its last words."""
    line = next((line for line in reversed(text.strip().splitlines()) if line.strip()), "").strip()
    if len(line) <= _TAIL:
        return line
    cut = line[-_TAIL:]
    return "…" + (cut[cut.index(" ") :] if " " in cut[:20] else cut)


def _quoted(text: str) -> str:
    """A text between quotation marks, cut where it is long."""
    flat = re.sub(r"[\n\t]+", " ", text)
    return f"'{flat if len(flat) <= 2 * _TAIL else flat[: 2 * _TAIL] + '…'}'"


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


def named(text: str, most: int = 34) -> str:
    """A player's name in a sentence, on one line and cut where it is long."""
    flat = re.sub(r"\s+", " ", text).strip()
    document = re.match(r"\[[^\]]{1,30}\](?= )", flat)  # a document's id says which it is
    if document:
        return document[0]
    path = re.match(r"\S*[.\]]\S*(?=: )", flat)  # of a field of JSON, whose key stands last
    kept = most * 2 // 3
    if path and len(path[0]) > kept and len(flat) > most:
        flat = "…" + flat[min(path.end() - kept, len(flat) - most) + 1 :]
    return flat if len(flat) <= most else flat[: most - 1].rstrip() + "…"


def number(value: float) -> str:
    """A value in a sentence."""
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
