"""The files of samples of the LM Evaluation Harness (lm-eval).

With ``--log_samples`` it writes ``samples_TASK_TIME.jsonl``, a line for each item and filter;
versions before 0.4.3 write one list, whatever the file's name. An item has its requests
(``arguments``: a list of lists in older versions, an object ``{"gen_args_0": {"arg_0": context,
"arg_1": answer}}`` in newer ones), what the model gave for each (``resps``, numbers that newer
versions write as texts), the right answer (``target``) and the scores. Which layout it is, is read
off its content.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from interplay._types import Json, shown
from interplay.text.prompts.build import PLACEHOLDER
from interplay.text.sample_items import document_of, written_items
from interplay.text.samples import MARK, Kind, Sample

_NO_SCORES = frozenset(
    ("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics")
)
_MOST_WANTED = 10_000


def read_samples(path: str | Path) -> tuple[Sample, ...]:
    """Read a file of samples that the LM Evaluation Harness wrote with ``--log_samples``.

    Args:
        path: the file: JSON lines, or a list.

    Returns:
        The items in the order of the file. One under several filters is one.

    Raises:
        ValueError: an item is no sample; the message has its line. Or there is none.
        OSError: the file cannot be read.
    """
    samples: dict[str, Sample] = {}
    for number, text in written_items(Path(path)):
        try:
            sample = _sample(document_of(text), number)
            before = samples.get(sample.doc_id)
            samples[sample.doc_id] = sample if before is None else _joined(before, sample)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not samples:
        raise ValueError(f"{path} holds no samples; give a file that lm-eval --log_samples wrote")
    return tuple(samples.values())


def _joined(before: Sample, sample: Sample) -> Sample:
    """An item with its scores under one more filter; older versions do not name filters.

    Raises:
        ValueError: the two are of different runs.
    """
    scores = dict(sample.scores)
    is_same = replace(before, scores={}, right=(), lines=()) == replace(
        sample, scores={}, right=(), lines=()
    )
    if before.scores.keys() & scores.keys():
        count = len(before.lines) + 1
        scores = {f"{name},{count}": score for name, score in scores.items() if "," not in name}
    if not is_same or len(scores) < len(sample.scores):
        raise ValueError(
            f"document {sample.doc_id} was there before; the file has more than one run, keep the "
            "items of one"
        )
    lines = (*before.lines, *sample.lines)
    return replace(before, scores={**before.scores, **scores}, lines=lines)


def _sample(document: Json, number: int) -> Sample:
    """A sample of one line of a file.

    Raises:
        ValueError: it is none.
    """
    doc_id = document["doc_id"]
    if isinstance(doc_id, bool) or not isinstance(doc_id, int | str):
        raise ValueError(f"doc_id={shown(doc_id)} is neither a number nor a text")
    requests = _requests(document["arguments"])
    contexts = [_context(request[0]) for request in requests]
    given = [request[1] if len(request) > 1 else None for request in requests]
    scores = _scores(document)
    wanted = document.get("target")
    if all(isinstance(answer, Mapping) for answer in given):
        kind: Kind = "generated"
        answers, logprobs = [_generated(document)], []
    elif all(isinstance(answer, str) for answer in given):
        kind = "continuation" if len(given) == 1 else "choices"
        answers = [str(answer) for answer in given]
        logprobs = _logprobs(document, len(given))
    else:
        raise ValueError(
            "it has no answers: what was scored is the whole text, as of a perplexity; give the "
            "samples of a task of choices, continuations or generated answers"
        )
    asked = [place for place, context in enumerate(contexts) if context != ""]
    if kind == "choices" and 2 * len(asked) == len(answers):
        # the others are the answers after nothing, which mutual information is computed from
        contexts = [contexts[place] for place in asked]
        answers = [answers[place] for place in asked]
        logprobs = [logprobs[place] for place in asked]
    starts = [0] * len(answers)
    context = contexts[0]
    if any(other != context for other in contexts):
        kind = "options in context"
        context, answers, starts = _common(contexts, answers)
    if isinstance(context, str) and kind != "generated":
        stripped = context.rstrip()
        space = context[len(stripped) :]
        answers = [space + answer for answer in answers]
        starts = [start and start + len(space) for start in starts]
        context = stripped
    text, prompt = (context, PLACEHOLDER) if not isinstance(context, str) else _cut(context)
    return Sample(
        str(doc_id),
        kind,
        text,
        prompt,
        tuple(answers),
        tuple(starts),
        () if kind == "generated" else _right(wanted, answers, starts, logprobs, scores),
        tuple(logprobs),
        scores,
        wanted if isinstance(wanted, str) else json.dumps(wanted, ensure_ascii=False),
        (number,),
    )


def _requests(arguments: Any) -> list[list[Any]]:
    """What was asked, a list ``[context, answer or settings]`` for each request."""
    if isinstance(arguments, dict):
        arguments = [_in_order(request, "arg_") for request in _in_order(arguments, "gen_args_")]
    elif isinstance(arguments, list) and arguments and isinstance(arguments[0], str):
        arguments = [arguments]
    requests = [_in_order(one, "arg_") for one in arguments] if isinstance(arguments, list) else []
    if not requests or not all(requests):
        raise ValueError(
            f"arguments={shown(arguments)} are no requests; a list of [context, answer], or "
            '{"gen_args_0": {"arg_0": context, "arg_1": answer}, ...} is expected'
        )
    return requests


def _in_order(values: Any, prefix: str) -> list[Any]:
    """A list as it is; of an object its values by the numbers in its names."""
    if isinstance(values, list):
        return values
    if not isinstance(values, dict):
        return []
    names = [f"{prefix}{number}" for number in range(len(values))]
    return [values[name] for name in names] if values.keys() == set(names) else []


def _context(context: Any) -> str | tuple[Json, ...]:
    """The text that the model read, or its messages: these are written as JSON in a text."""
    if isinstance(context, list) and len(context) == 1 and isinstance(context[0], str):
        context = context[0]
    messages = context
    if isinstance(context, str) and context.startswith("[{"):
        try:
            messages = json.loads(context)
        except (ValueError, RecursionError):
            messages = None
    if isinstance(messages, list) and all(
        isinstance(message, dict) and {"role", "content"} <= message.keys() for message in messages
    ):
        return tuple(
            {key: value for key, value in message.items() if key != "type"} for message in messages
        )
    if isinstance(context, str):
        return context
    raise ValueError(f"the context {shown(context)} is neither a text nor a chat")


def _generated(document: Json) -> str:
    """The answer that the model wrote, before any filter; of several the first."""
    answer = document.get("resps")
    while isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, str):
        raise ValueError(f"resps={shown(document.get('resps'))} has no answer that was generated")
    return answer


def _logprobs(document: Json, count: int) -> list[float]:
    """The log-likelihood of each answer."""
    logprobs = []
    responses = document.get("resps") or document.get("filtered_resps")
    for response in responses if isinstance(responses, list) else ():
        while isinstance(response, list) and response:
            response = response[0]
        try:
            logprobs.append(float(response))
        except (TypeError, ValueError):
            break
    if len(logprobs) != count or any(map(math.isnan, logprobs)):
        raise ValueError(
            f"resps={shown(responses)} does not have a log-likelihood for each of {count} answers"
        )
    return logprobs


def _scores(document: Json) -> dict[str, float]:
    """The scores that are numbers, in the order of the file."""
    suffix = document.get("filter")
    ending = f",{suffix}" if isinstance(suffix, str) and suffix != "none" else ""
    listed = document.get("metrics")
    names = listed if isinstance(listed, list) else [n for n in document if n not in _NO_SCORES]
    return {
        f"{name}{ending}": float(document[name])
        for name in names
        if isinstance(name, str)
        and isinstance(document.get(name), int | float)
        and math.isfinite(document[name])
    }


def _common(
    contexts: list[str | tuple[Json, ...]], answers: list[str]
) -> tuple[str, list[str], list[int]]:
    """What contexts begin with alike, up to a space; answers with the rest of each, its length."""
    texts = [context for context in contexts if isinstance(context, str)]
    if len(texts) < len(contexts):
        raise ValueError("its answers have different chats as their contexts")
    n_same = 0
    for characters in zip(*texts, strict=False):
        if len(set(characters)) > 1:
            break
        n_same += 1
    at = max(texts[0].rfind(space, 0, n_same) for space in " \n") + 1
    pairs = zip(texts, answers, strict=True)
    joined = [text[at:] + answer for text, answer in pairs]
    return texts[0][:at], joined, [len(text) - at for text in texts]


def _cut(context: str) -> tuple[str, str]:
    """The text that may be ablated, and the prompt with what stays after it.

    The last line stays, such as ``Answer:``, or what follows a chat template's last mark; of a
    single line the last word.
    """
    body = context.rstrip()
    marks = [match.end() for match in MARK.finditer(body)]
    at = max(body.rfind("\n") + 1, marks[-1] if marks else 0)
    if not at:
        at = body.rfind(" ") + 1
    if not body[:at].strip():
        raise ValueError(f"the context {shown(context)} is too short for anything to be ablated")
    return context[:at], f"{PLACEHOLDER}{context[at:]}"


def _right(
    wanted: Any,
    answers: list[str],
    starts: list[int],
    logprobs: list[float],
    scores: Mapping[str, float],
) -> tuple[int, ...]:
    """The places of the right answers: by their number, by their text, or by the accuracy.

    Newer versions write everything as text, so that ``"1"`` may be either; what agrees with the
    recorded accuracy is taken.
    """
    if len(answers) == 1:
        return (0,)
    targets = wanted
    if isinstance(wanted, str) and wanted.startswith("[") and len(wanted) < _MOST_WANTED:
        try:
            targets = ast.literal_eval(wanted)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            targets = wanted
    targets = [str(one) for one in (targets if isinstance(targets, list) else [targets])]
    by_number = {int(one) for one in targets if re.fullmatch(r"[0-9]{1,6}", one)}
    by_text = {
        number
        for number, answer in enumerate(answers)
        if answer.strip() in {one.strip() for one in targets}
    }
    best = max(range(len(answers)), key=logprobs.__getitem__)
    accuracy = scores.get("acc")
    ways = [] if any(starts) else [by_number & set(range(len(answers))), by_text]
    ways = [places for places in ways if places]
    agreeing = [places for places in ways if accuracy == float(best in places)]
    for places in agreeing or ways:
        return tuple(sorted(places))
    if accuracy == 1.0:
        return (best,)
    if accuracy == 0.0 and len(answers) == 2:
        return (1 - best,)
    return ()
