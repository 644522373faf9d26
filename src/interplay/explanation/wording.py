"""What was scored, in words: the score's name, its unit, and what its sign speaks for."""

from __future__ import annotations

import re
from math import inf

from interplay._types import Json

LINE = 70
"""The characters of a line: of a quoted text at most so many, or two lines where there is room."""
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
OF_TWO = ("Contrast", "LogitDifference")


def score_of(description: Json, output: int = 0) -> str:
    """What a score is called in a sentence, after "the".

    Args:
        description: of the game.
        output: the number of the output.
    """
    targets = description.get("targets") or [{}]
    target = targets[output] if output < len(targets) else targets[0]
    if target.get("kind") in OF_TWO:
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
    if target.get("kind") in OF_TWO:
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


def against_scored(
    description: Json, full: float | None, own_answer: str, whole: str = "with everything"
) -> str:
    """What to say where the first score is not of what the model answers; else an empty text.

    Args:
        description: of the game.
        full: the value of the whole input; ``None``: it was not measured.
        own_answer: the model's own answer to that; empty: it is not known.
        whole: what the whole input is called.
    """
    target = (description.get("targets") or [{}])[0]
    is_of_two = target.get("kind") in OF_TWO
    scored = [target["positive"], target["negative"]] if is_of_two else [target.get("text")]
    if own_answer and target.get("kind") in (*OF_TWO, "Response") and all(scored):
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
    begun = f"{whole[:1].upper()}{whole[1:]}"
    return f"{begun} the score speaks for {speaks_for[1]}, not for {speaks_for[0]}."


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
    return shown if shown[0] != shown[1] else (quoted(one), quoted(other))


def quoted(text: str, most: int = 2 * LINE) -> str:
    """A text between quotation marks, cut where it is longer than so many characters."""
    flat = re.sub(r"[\n\t]+", " ", text)
    return f"'{flat if len(flat) <= most else flat[:most].rstrip() + '…'}'"


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
