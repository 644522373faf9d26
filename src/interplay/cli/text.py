"""``interplay text`` and ``interplay plan``: the text lens on the command line."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from interplay import text as lens
from interplay.cli.cheaper import CheaperOptions
from interplay.cli.ends import PromptGame, print_ends, print_prompt, with_answers
from interplay.cli.folders import finest, finish, refuse_another, write
from interplay.cli.options import (
    STORE,
    ConfirmOptions,
    GateOptions,
    ModelOptions,
    RunOptions,
    ShownOptions,
    choice,
    command,
    existing,
)
from interplay.cli.prompts import Written, pattern, read_prompt, read_swap, unit
from interplay.cli.samples import answers_of, chosen, excerpt
from interplay.cli.tables import console, interruptible
from interplay.cli.trust import PATTERN_SECONDS, TYPED, Trust, time_limit
from interplay.explanation.console import ORDER
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.plan import plan
from interplay.text.analysis.drill import LEVEL_FILE, Refinement, drill
from interplay.text.api.account import public_address
from interplay.text.hints import HintKind
from interplay.text.prompts.build import mask_prompt
from interplay.text.prompts.chat import TEMPLATE_TIME
from interplay.text.prompts.segments import checked_language
from interplay.text.samples import Sample
from interplay.text.targets import REDUCTIONS

_CONTRASTS = {"contrast": lens.Contrast, "logit-difference": lens.LogitDifference}
"""Targets of two answers."""
_TASKS: dict[str, Literal["classification", "embedding"]] = {
    "label": "classification",
    "labels": "classification",
    "similarity": "embedding",
}
"""Targets of models that are not causal, and the task that these are loaded for."""
_TARGETS = ("logprob", "prob", "logit", *_CONTRASTS, "options", *_TASKS)
_SLOW_PATTERN = (
    f"a regular expression of the recipe took more than {PATTERN_SECONDS:.0f} s on its text; look "
    "at its options `by` and `fixed`, or give --sample 0 to do without"
)


@dataclass(frozen=True)
class TextOptions(ModelOptions):
    """The prompt, what is ablated of it, the model, and what is scored."""

    model: Annotated[
        str,
        typer.Option(
            help='Folder or hub name of a language model, or "smollm2" (packaged); with --base-url '
            "the name that the server knows the model by."
        ),
    ]
    file: Annotated[
        Path | None, typer.Option(callback=existing, dir_okay=False, help="The text to ablate.")
    ] = None
    docs: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help='Retrieved documents to ablate: JSON lines, {"id": ..., "text": ...} each.',
        ),
    ] = None
    chat: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help='A chat: JSON, a list of {"role": ..., "content": ...}, or an object with '
            '"messages" and, for the template, "tools", "documents", "chat_template_kwargs", as in '
            "the body of a request. With --file or --docs the prompt around "
            "them, with {text} where they go (documents: by default before the user's last "
            'message); else it is what is ablated, but for messages with "fixed": true.',
        ),
    ] = None
    samples: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help="Items of a benchmark: what lm-eval --log_samples wrote. The context of one is "
            "ablated, and the right answer scored against the likeliest wrong one. Without "
            "--doc-id they are listed, wrong ones first.",
        ),
    ] = None
    doc_id: Annotated[str | None, typer.Option(help="The item among --samples.")] = None
    template_time: Annotated[
        datetime,
        typer.Option(help="The time that a chat template sees which writes the date."),
    ] = TEMPLATE_TIME
    by: Annotated[
        str,
        typer.Option(
            help="Players: token, word, sentence, line, paragraph, document, message, turn (a "
            "user's message and what follows it), tool (the "
            "tools of --chat and their results), field (of JSON), or regex:PATTERN, whose matches "
            "they are."
        ),
    ] = "sentence"
    language: Annotated[
        str | None,
        typer.Option(
            help="The language, for sentences: a code, such as de. By default it is guessed from "
            "the text, and the recipe says which it was."
        ),
    ] = None
    hints: Annotated[
        str,
        typer.Option(
            help="What is expected of the segments beforehand: tokens (the longer ones matter "
            "more), or gradient (of a local model; about five ablations, for small budgets)."
        ),
    ] = "tokens"
    fixed: Annotated[
        str | None, typer.Option(help="A pattern: segments that a match of it touches are kept.")
    ] = None
    question: Annotated[
        str | None, typer.Option(help="Fixed words after the text, on a line of their own.")
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(help="The whole prompt with {text} where the text goes; or use --question."),
    ] = None
    response: Annotated[
        str | None,
        typer.Option(help="The response to score; by default the model's own greedy answer."),
    ] = None
    target: Annotated[
        str | None,
        typer.Option(
            help="What to score: logprob (by default), prob or logit (p on the logit scale) of the "
            "response; "
            "contrast, the log-probability of --response less that of --against (or "
            "logit-difference, of one token each); options, the probability of each --option; of a "
            "classifier, label, the logit of --label, or labels, of each; of an encoder, "
            "similarity to the whole text."
        ),
    ] = None
    reduction: Annotated[
        str,
        typer.Option(
            help="Of the response's tokens: sum, mean, or token, an output for each token; "
            "sentence or line, an output for each of those of a long response."
        ),
    ] = "sum"
    answer_tokens: Annotated[
        int, typer.Option(help="Most tokens of the model's own answer, if that is scored.")
    ] = 20
    part: Annotated[
        str | None,
        typer.Option(help="Score only this part of the response, given what is before it."),
    ] = None
    against: Annotated[
        str | None, typer.Option(help="The other answer, for contrast and logit-difference.")
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(help="An answer, for --target options; give it several times."),
    ] = None
    label: Annotated[str | None, typer.Option(help="A class of the classifier, by name.")] = None
    masking: Annotated[
        str,
        typer.Option(
            help="What becomes of a removed segment: delete; mask-token; attention, where it "
            "stays in its place and nothing attends to it; or resample, where the model writes it "
            "again (resample-rest: and all that follows). Or --replacement."
        ),
    ] = "delete"
    replacement: Annotated[
        str | None, typer.Option(help="A text that stands in for it instead.")
    ] = None
    swap: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help="What is swapped for another value where it stands, as players of their own: "
            'JSON, a text with another one ({"Amina": "Anna"}), several ({"Amina": ["Anna", '
            '"Eva"]}, averaged over), or a group by its name ({"gender": {"Ms": "Mr", "she": '
            '"he"}}), one player; regex:PATTERN for its matches. Other segments are removed as '
            "usual.",
        ),
    ] = None
    swap_only: Annotated[
        bool,
        typer.Option("--swap-only", help="With --swap: everything else is always kept."),
    ] = False
    base_url: Annotated[
        str | None,
        typer.Option(
            help="An OpenAI-compatible endpoint, such as http://localhost:8000/v1, instead of a "
            "local model. The key is read from the environment variable named by --key-variable."
        ),
    ] = None
    key_variable: Annotated[
        str, typer.Option(help="The environment variable that holds the key.")
    ] = "OPENAI_API_KEY"
    allow_bounds: Annotated[
        bool,
        typer.Option(
            help="At an endpoint: let an upper bound stand for the probability of an answer that "
            "it does not list. By default that is an error."
        ),
    ] = False
    max_requests: Annotated[
        int | None, typer.Option(help="Most requests to the endpoint, retries included.")
    ] = None
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens at the endpoint.")] = None
    concurrency: Annotated[int, typer.Option(help="Requests to the endpoint at a time.")] = 8

    def loaded(self, trust: Trust = TYPED) -> tuple[Any, Any]:
        """The model and its tokenizer.

        Args:
            trust: what may be read, contacted and loaded.
        """
        return lens.load_model(
            self.model,
            task=self.task,
            **self.loading(trust),
        )

    def game(self, trust: Trust = TYPED, /, loaded: tuple[Any, Any] | None = None) -> PromptGame:
        """The prompt as a game.

        Args:
            trust: what may be read, contacted and loaded.
            loaded: the model and its tokenizer, where they are loaded already.

        Raises:
            ValueError: options that exclude each other, or something that may not be done.
        """
        written = self._written()
        scored = self.scored()
        choice("--hints", self.hints, get_args(HintKind))
        settings: dict[str, Any] = {
            "prompt": written.prompt,
            "masking": self.masked_by(),
            "fixed": None if self.fixed is None else pattern(self.fixed),
            "language": checked_language(self.language),
        }
        with nullcontext() if trust.anything else time_limit(PATTERN_SECONDS, _SLOW_PATTERN):
            settings["by"] = unit(self.by)
            if self.sample is not None:
                settings["by"] = self.sample.unit(settings["by"], self.language)
            template = written.template
            tools = (template or {}).get("tools") if self.by == "tool" else None
            if template and tools:
                template = {key: value for key, value in template.items() if key != "tools"} or None
            # what is wrong is told before a model is loaded
            mask_prompt(written.text, **settings, with_tools=bool(tools))
        if self.base_url is not None:
            if self.hints != "tokens":
                raise ValueError(
                    f"--hints {self.hints} is of a local model; leave it out for an endpoint"
                )
            unsent = [name for name in written.template or () if name != "tools"]
            if unsent:
                raise ValueError(
                    f"{', '.join(unsent)} are not sent to a server; take them out of the chat"
                )
            sent_tools = (written.template or {}).get("tools")
            if sent_tools and self.by != "tool":  # they are sent, and stay
                sent_tools = [{**tool, "fixed": True} for tool in sent_tools]
            if isinstance(scored, tuple):
                raise ValueError(
                    f"item {self.doc_id} has its options in the context, which takes two scores; a "
                    "server gives one, so say what to score by --response"
                )
            trust.check_server(public_address(self.base_url))
            return lens.ApiGame(
                self.model,
                written.text,
                scored,
                base_url=self.base_url,
                key_variable=self.key_variable if trust.anything else trust.key_variable or "",
                allow_bounds=self.allow_bounds,
                max_requests=self.max_requests,
                max_tokens=self.max_tokens,
                concurrency=self.concurrency,
                tools=sent_tools,
                **settings,
            )
        model, tokenizer = loaded or self.loaded(trust)
        return lens.TextGame(
            model,
            tokenizer,
            written.text,
            scored,
            template=template,
            tools=tools,
            template_time=self.template_time,
            hints=self.hints,
            **settings,
        )

    @property
    def task(self) -> Literal["causal", "classification", "embedding"]:
        """What the model is loaded for."""
        return _TASKS.get(self.target or "logprob", "causal")

    def masked_by(self) -> Any:
        """What becomes of removed players.

        Raises:
            ValueError: options that exclude each other.
        """
        if self.replacement is not None and self.masking != "delete":
            raise ValueError("--replacement and --masking were both given; choose one of them")
        removal: Any = self.masking.replace("-", "_")
        if self.replacement is not None:
            removal = lens.Replace(self.replacement)
        elif self.masking in ("resample", "resample-rest"):
            removal = lens.Resample(rest=self.masking == "resample-rest")
        if self.swap is None:
            if self.swap_only:
                raise ValueError("--swap-only was given without --swap; give the file as well")
            return removal
        if self.swap_only and removal != "delete":
            raise ValueError(
                "--swap-only keeps all that is not swapped, so leave out --masking and "
                "--replacement"
            )
        return lens.Swap(read_swap(self.swap), None if self.swap_only else removal)

    @cached_property
    def sample(self) -> Sample | None:
        """The item of a benchmark that is explained; ``None`` without ``--samples``.

        Raises:
            ValueError: there is no such item, or it is given together with another prompt.
        """
        if self.samples is None:
            if self.doc_id is not None:
                raise ValueError("--doc-id was given without --samples, whose items it names")
            return None
        for name in ("file", "docs", "chat", "question", "prompt"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"--samples and --{name} were both given; an item has its prompt already"
                )
        return chosen(self.samples, self.doc_id)

    def _written(self) -> Written:
        if self.sample is not None:
            return Written(self.sample.text, self.sample.prompt)
        return read_prompt(self.file, self.docs, self.chat, self.question, self.prompt)

    def scored(self) -> Any:
        """What is scored; of a benchmark's item, what its file has for the options not given.

        Raises:
            ValueError: options that do not go together.
        """
        sample, given = self.sample, (self.target, self.response, self.against, self.option)
        if sample is None:
            return replace(self, target=self.target or "logprob")._scored()
        if sample.kind == "options in context" and not any(given):
            return sample.target
        filled = answers_of(sample, *given)
        return replace(self, samples=None, doc_id=None, **filled)._scored()

    @property
    def recorded(self) -> tuple[float, ...]:
        """The values of the whole input that the samples' file has, if it has them."""
        changed = (self.target, self.response, self.against, self.option, self.part)
        if self.sample is None or any(changed) or self.reduction != "sum":
            return ()
        return self.sample.recorded

    def _scored(self) -> Any:
        choice("--target", self.target or "logprob", _TARGETS)
        choice("--reduction", self.reduction, REDUCTIONS)
        of_response = self.target not in (*_CONTRASTS, "options", *_TASKS)
        unused = {
            "--against": self.against is not None and self.target not in _CONTRASTS,
            "--option": bool(self.option) and self.target != "options",
            "--label": self.label is not None and self.target != "label",
            "--response": self.response is not None and self.target in ("options", *_TASKS),
            "--reduction": self.reduction != "sum" and not of_response,
            "--part": self.part is not None and not of_response,
        }
        for name in (name for name, given in unused.items() if given):
            raise ValueError(
                f"{name} was given, but --target {self.target} has no use for it; leave it out"
            )
        if self.target in _CONTRASTS:
            if self.response is None or self.against is None:
                raise ValueError(
                    f"--target {self.target} needs two answers: --response and --against"
                )
            return _CONTRASTS[self.target](self.response, self.against)
        if self.target == "options":
            if not self.option:
                raise ValueError("--target options needs --option, once for each answer")
            return lens.Options(tuple(self.option))
        if self.target == "label":
            if self.label is None:
                raise ValueError("--target label needs --label; --target labels has all of them")
            return lens.Label(self.label)
        if self.target in _TASKS:
            return lens.Labels() if self.target == "labels" else lens.EmbeddingSimilarity()
        return lens.Response(
            self.response,
            self.target,  # type: ignore[arg-type]
            self.reduction,  # type: ignore[arg-type]
            self.part,
            self.answer_tokens,
        )


@dataclass(frozen=True)
class DrillOptions:
    """Whether the players that matter are refined."""

    drill_down: Annotated[
        list[str] | None,
        typer.Option(
            "--drill",
            help="A finer unit: the players that matter are split into it and explained again, "
            "within the same budget. Give it several times, the coarser one first.",
        ),
    ] = None


@command
def text_command(
    prompt: TextOptions,
    run: RunOptions,
    confirmation: ConfirmOptions,
    finer: DrillOptions,
    cheap: CheaperOptions,
    shown: ShownOptions,
    gate: GateOptions,
) -> None:
    """Explain an answer of a language model by the words or sentences of its prompt.

    Example: interplay text --model smollm2 --file context.txt --question "Therefore: The red key
    opens the" --response " garden" --target prob --budget 400 --out out/key
    """
    game, out = prompt.game(), run.folder("text")
    options = asdict(replace(prompt, language=game.masked.language))
    refuse_another(game, out / (LEVEL_FILE.format(1) if finer.drill_down else FILE))
    if not finer.drill_down:  # the last level has others
        gate.check_players(game)
    if prompt.samples is not None and prompt.sample is not None:
        options["samples"] = excerpt(prompt.samples, prompt.sample, out)
    print_prompt(game)
    with interruptible():
        answers = print_ends(game, out / STORE, run.backend, prompt.recorded)
    units = finer.drill_down or []
    settings = run.settings("text") | cheap.settings(prompt, game)
    if units and "cheaper" in settings:
        raise ValueError("--drill and a cheaper model were both asked for; leave one of them out")
    with interruptible():
        result: Any = (
            drill(game, list(map(unit, units)), **settings) if units else explain(game, **settings)
        )

    def told(explanation: Explanation) -> Explanation:
        return shown.recorded(with_answers(explanation, answers), run.order or ORDER)

    if isinstance(result, Refinement):
        levels_told = (told(level) for level in result.levels)
        result = replace(result, levels=tuple(levels_told))
    else:
        result = told(result)
    levels = (
        tuple(zip(units, result.chosen, strict=False)) if isinstance(result, Refinement) else ()
    )
    page = write(result, out, "text", options, levels=levels)
    with interruptible():
        explanation = confirmation.tested(finest(result), "text", run)
    if isinstance(result, Refinement):
        result = replace(result, levels=(*result.levels[:-1], explanation))
    else:
        result = explanation
    page = write(result, out, "text", options, levels=levels)
    if isinstance(result, Refinement):
        console.print(str(result), markup=False, highlight=False)
    shown.print(finest(result))
    finish(page, finest(result), gate)


@dataclass(frozen=True)
class PriceOptions:
    """What ablations cost, and whether that is measured."""

    price: Annotated[float | None, typer.Option(help="Of a million tokens.")] = None
    warm_up: Annotated[
        bool | None,
        typer.Option(
            help="Measure time and memory on a call or two; not by default at an endpoint."
        ),
    ] = None


@command
def plan_command(
    prompt: TextOptions, run: RunOptions, price: PriceOptions, cheaper: CheaperOptions
) -> None:
    """Estimate what `interplay text` with the same options will evaluate and cost, in one process.

    The ablations of the measurement go into the store of --out, where the run finds them.
    """
    game = prompt.game()
    settings = run.settings("text") | cheaper.settings(prompt, game)
    with interruptible():
        planned = plan(game, price=price.price, warm_up=price.warm_up, **settings)
    console.print(str(planned), markup=False, highlight=False)
