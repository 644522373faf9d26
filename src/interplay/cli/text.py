"""``interplay text`` and ``interplay plan``: the text lens on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import typer
from rich.markup import escape

from interplay import text as text_lens
from interplay.cli.folders import STORE, finest, refuse_another, write
from interplay.cli.options import (
    BatchSize,
    Budget,
    Confirm,
    Decoder,
    Decoding,
    Device,
    Dtype,
    Holdout,
    OnError,
    Order,
    Out,
    RunsOn,
    Seed,
    Threads,
    Until,
)
from interplay.cli.prompts import pattern, read_prompt, unit
from interplay.cli.tables import console, interruptible, print_explanation
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE
from interplay.explanation.plan import plan
from interplay.text.analysis.drill import LEVEL_FILE, Drilled, drill

_DEFAULT_OUT = Path("out/text")

_Game: TypeAlias = text_lens.TextGame | text_lens.ApiGame

Model = Annotated[
    str,
    typer.Option(
        help='Folder or hub name of a causal model, or "smollm2" (packaged); with --base-url the '
        "name that the server knows the model by."
    ),
]
File = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The text to ablate.")]
Docs = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help='Retrieved documents to ablate: JSON lines, {"id": ..., "text": ...} each.',
    ),
]
Chat = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help='A chat: JSON, a list of {"role": ..., "content": ...}, or an object with "messages" '
        'and, for the template, "tools". With --file or --docs the prompt around them, with '
        "{text} where they go (documents: by default before the user's last message); else it is "
        'what is ablated, but for messages with "fixed": true.',
    ),
]
By = Annotated[
    str,
    typer.Option(
        help="Players: token, word, sentence, line, paragraph, document, message, field (of JSON), "
        "or regex:PATTERN, whose matches they are."
    ),
]
Fixed = Annotated[
    str | None, typer.Option(help="A pattern: segments that a match of it touches are kept.")
]
Question = Annotated[
    str | None, typer.Option(help="Fixed words after the text, on a line of their own.")
]
Prompt = Annotated[
    str | None,
    typer.Option(help="The whole prompt with {text} where the text goes; or use --question."),
]
Answer = Annotated[
    str | None,
    typer.Option(help="The response to score; by default the model's own greedy answer."),
]
Target = Annotated[
    str,
    typer.Option(
        help="What to score: logprob, prob or logit (p on the logit scale) of the response; "
        "logit-difference between --response and --against (one token each); options, the "
        "probability of each --option; of a classifier, label, the logit of --label, or labels, of "
        "each; of an encoder, similarity to the whole text."
    ),
]
Reduction = Annotated[
    str,
    typer.Option(help="Of the response's tokens: sum, mean, or token, an output for each token."),
]
Part = Annotated[
    str | None, typer.Option(help="Score only this part of the response, given what is before it.")
]
Against = Annotated[str | None, typer.Option(help="The other answer, for logit-difference.")]
Option = Annotated[
    list[str] | None, typer.Option(help="An answer, for --target options; give it several times.")
]
Label = Annotated[str | None, typer.Option(help="A class of the classifier, by name.")]
Masking = Annotated[
    str,
    typer.Option(
        help="What becomes of a removed segment: delete; mask-token; or attention, where it stays "
        "in its place and nothing attends to it. Or --replacement."
    ),
]
Replacement = Annotated[str | None, typer.Option(help="A text that stands in for it instead.")]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        help="An OpenAI-compatible endpoint, such as http://localhost:8000/v1, instead of a local "
        "model. The key is read from the environment variable named by --key-variable."
    ),
]
KeyVariable = Annotated[str, typer.Option(help="The environment variable that holds the key.")]
MaxRequests = Annotated[
    int | None, typer.Option(help="Most requests to the endpoint, retries included.")
]
MaxTokens = Annotated[int | None, typer.Option(help="Most tokens at the endpoint.")]
Concurrency = Annotated[int, typer.Option(help="Requests to the endpoint at a time.")]


def text_command(
    model: Model,
    file: File = None,
    docs: Docs = None,
    chat: Chat = None,
    by: By = "sentence",
    fixed: Fixed = None,
    question: Question = None,
    prompt: Prompt = None,
    response: Answer = None,
    target: Target = "logprob",
    reduction: Reduction = "sum",
    part: Part = None,
    against: Against = None,
    option: Option = None,
    label: Label = None,
    masking: Masking = "delete",
    replacement: Replacement = None,
    decoder: Decoder = "auto",
    decoding: Decoding = None,
    order: Order = None,
    budget: Budget = None,
    until: Until = None,
    holdout: Holdout = 0.1,
    random_state: Seed = 0,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
    base_url: BaseUrl = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    concurrency: Concurrency = 8,
    batch_size: BatchSize = None,
    backend: RunsOn = "local",
    on_error: OnError = "raise",
    confirm: Confirm = 0,
    drill_down: Annotated[
        list[str] | None,
        typer.Option(
            "--drill",
            help="A finer unit: what matters is cut into it and explained again, within the same "
            "budget; give it several times, the coarser one first.",
        ),
    ] = None,
    out: Out = _DEFAULT_OUT,
) -> None:
    """Explain an answer of a language model by the words or sentences of its prompt.

    Example: interplay text --model smollm2 --file context.txt --question "Therefore: The key is in
    the" --response " garden" --target prob --budget 400 --out out/key
    """
    given = _of(locals(), _GAME)
    game = text_game(**given)
    refuse_another(game, out / (LEVEL_FILE.format(1) if drill_down else FILE))
    print_prompt(game)
    settings = _of(locals(), _RUN) | _options(decoding)
    settings |= {"store": out / STORE, "backend": backend, "on_error": on_error, "until": until}
    with interruptible():
        found = (
            drill(game, [unit(each) for each in drill_down], **settings)
            if drill_down
            else explain(game, **settings)
        )
    levels: tuple[Any, ...] = ()
    if isinstance(found, Drilled):
        levels = tuple(zip(drill_down or (), found.chosen, strict=False))
    page = write(found, out, "text", given, levels=levels)
    if confirm:
        with interruptible():
            confirmed = finest(found).confirm(
                confirm,
                store=out / STORE,
                random_state=random_state,
                backend=backend,
                batch_size=batch_size,
            )
        explanation = replace(finest(found), confirmation=confirmed)
        if isinstance(found, Drilled):
            found = replace(found, levels=(*found.levels[:-1], explanation))
        else:
            found = explanation
        page = write(found, out, "text", given, levels=levels)
    if isinstance(found, Drilled):
        console.print(str(found), markup=False, highlight=False)
    print_explanation(finest(found), "FSII", 3, 10)
    console.print(f"page: {page}")


def plan_command(
    model: Model,
    file: File = None,
    docs: Docs = None,
    chat: Chat = None,
    by: By = "sentence",
    fixed: Fixed = None,
    question: Question = None,
    prompt: Prompt = None,
    response: Answer = None,
    target: Target = "logprob",
    reduction: Reduction = "sum",
    part: Part = None,
    against: Against = None,
    option: Option = None,
    label: Label = None,
    masking: Masking = "delete",
    replacement: Replacement = None,
    decoder: Decoder = "auto",
    decoding: Decoding = None,
    order: Order = None,
    budget: Budget = None,
    holdout: Holdout = 0.1,
    random_state: Seed = 0,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    threads: Threads = None,
    base_url: BaseUrl = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = None,
    concurrency: Concurrency = 8,
    batch_size: BatchSize = None,
    price: Annotated[float | None, typer.Option(help="Of a million tokens.")] = None,
    warm_up: Annotated[
        bool | None,
        typer.Option(
            help="Measure time and memory on a call or two; not by default at an endpoint."
        ),
    ] = None,
    out: Out = _DEFAULT_OUT,
) -> None:
    """Say what `interplay text` with the same options will make and cost, in one process.

    What the measurement makes is kept in the store of --out, where the run finds it.
    """
    game = text_game(**_of(locals(), _GAME))
    run = _of(locals(), _RUN)
    with interruptible():
        planned = plan(
            game, store=out / STORE, price=price, warm_up=warm_up, **run, **_options(decoding)
        )
    console.print(str(planned), markup=False, highlight=False)


_GAME = (
    *("model", "file", "docs", "chat", "by", "fixed", "question", "prompt", "response", "target"),
    *(
        "reduction",
        "part",
        "against",
        "option",
        "label",
        "masking",
        "replacement",
        "dtype",
        "device",
    ),
    *("threads", "base_url", "key_variable", "max_requests", "max_tokens", "concurrency"),
)
_RUN = ("decoder", "order", "budget", "holdout", "random_state", "batch_size")


def _of(arguments: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: arguments[name] for name in names}


def _options(decoding: str | None) -> dict[str, Any]:
    return {} if decoding is None else {"decoding": decoding}


def text_game(
    *,
    model: str,
    file: Path | None,
    docs: Path | None,
    chat: Path | None,
    by: str,
    fixed: str | None,
    question: str | None,
    prompt: str | None,
    masking: str,
    replacement: str | None,
    dtype: str,
    device: str,
    threads: int | None,
    base_url: str | None,
    key_variable: str,
    max_requests: int | None,
    max_tokens: int | None,
    concurrency: int,
    **target: Any,
) -> _Game:
    """The game of ``interplay text``, by its options."""
    written = read_prompt(file, docs, chat, question, prompt)
    scored = _target(**target)
    if replacement is not None and masking != "delete":
        raise ValueError("--replacement and --masking were both given; choose one of them")
    settings: dict[str, Any] = {
        "by": unit(by),
        "prompt": written.prompt,
        "masking": masking.replace("-", "_")
        if replacement is None
        else text_lens.Replace(replacement),
        "fixed": None if fixed is None else pattern(fixed),
    }
    if base_url is not None:
        if written.tools is not None:
            raise ValueError("tools are not sent to a server; take them out of the chat")
        return text_lens.ApiGame(
            model,
            written.text,
            scored,
            base_url=base_url,
            key_variable=key_variable,
            max_requests=max_requests,
            max_tokens=max_tokens,
            concurrency=concurrency,
            **settings,
        )
    task = _TASKS.get(target["target"], "causal")
    loaded, tokenizer = text_lens.load_model(
        model, dtype=dtype, device=device, threads=threads, task=task
    )
    return text_lens.TextGame(
        loaded, tokenizer, written.text, scored, tools=written.tools, **settings
    )


_TASKS: dict[str, Literal["classification", "embedding"]] = {
    "label": "classification",
    "labels": "classification",
    "similarity": "embedding",
}
"""Targets of models that are not causal, and the task that these are loaded for."""


def _target(
    target: str,
    response: str | None,
    reduction: str,
    part: str | None,
    against: str | None,
    option: list[str] | None,
    label: str | None,
) -> Any:
    of_response = target not in ("logit-difference", "options", *_TASKS)
    unused = {
        "--against": against is not None and target != "logit-difference",
        "--option": bool(option) and target != "options",
        "--label": label is not None and target != "label",
        "--response": response is not None and target in ("options", *_TASKS),
        "--reduction": reduction != "sum" and not of_response,
        "--part": part is not None and not of_response,
    }
    for name in (name for name, given in unused.items() if given):
        raise ValueError(f"{name} was given, but --target {target} has no use for it; leave it out")
    if target == "logit-difference":
        if response is None or against is None:
            raise ValueError(
                "--target logit-difference needs two answers: --response and --against"
            )
        return text_lens.LogitDifference(response, against)
    if target == "options":
        if not option:
            raise ValueError("--target options needs --option, once for each answer")
        return text_lens.Options(tuple(option))
    if target == "label":
        if label is None:
            raise ValueError("--target label needs --label; --target labels has all of them")
        return text_lens.Label(label)
    if target in _TASKS:
        return text_lens.Labels() if target == "labels" else text_lens.EmbeddingSimilarity()
    return text_lens.Response(response, target, reduction, part)  # type: ignore[arg-type]


def print_prompt(game: _Game) -> None:
    """The whole prompt, and what is measured."""
    console.print(game.prompt(np.ones(game.n_players, dtype=np.bool_)), markup=False, style="dim")
    targets = game.targets if isinstance(game, text_lens.TextGame) else (game.target,)
    measured = escape("; ".join(map(str, targets)))
    console.print(f"{game.n_players} players by {escape(game.masked.by)}; target: {measured}")
