"""``interplay finetune``: the training lens on a language model that is really fine-tuned."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from interplay import training as lens
from interplay.cli.folders import finish, refuse_another, write
from interplay.cli.options import (
    STORE,
    GateOptions,
    ModelOptions,
    RunOptions,
    ShownOptions,
    choice,
    command,
    existing,
)
from interplay.cli.tables import console, interruptible, print_run, print_verdict
from interplay.cli.training import RELATIONS, first_order_of, print_lds, print_training
from interplay.cli.trust import TYPED, Trust
from interplay.explanation.console import ORDER
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.plan import Plan, plan
from interplay.text import load_model

_ALL = "all"
_HARMFUL = 3
"""The most lines of what harms."""
_MOST_DIGITS = 8


@dataclass(frozen=True)
class FineTuningOptions(ModelOptions):
    """The model, its fine-tuning set, the questions, and how it is fine-tuned."""

    model: Annotated[
        str, typer.Option(help='Folder or hub name of a model, or "smollm2" (packaged).')
    ]
    examples: Annotated[
        Path,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help='The fine-tuning set: JSON lines, {"prompt": ..., "response": ...} each, with '
            '"player" and "tag" if wanted, or {"text": ...}; or CSV with these columns. Responses '
            "with their leading space.",
        ),
    ]
    questions: Annotated[
        Path,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help='What the tuned model is asked: JSON lines, {"prompt": ..., "answer": ...} each, '
            'with "against" (another answer) and "name" if wanted; or CSV.',
        ),
    ]
    group: Annotated[
        str | None,
        typer.Option(
            help="The key of the examples that says which player each belongs to; by default "
            '"player", and each example without it is a player.'
        ),
    ] = None
    clusters: Annotated[
        int | None,
        typer.Option(
            help="Without --group: so many clusters of examples that the model reads alike are the "
            "players."
        ),
    ] = None
    chat: Annotated[
        bool, typer.Option("--chat", help="Put prompts and responses into the chat template.")
    ] = False
    layers: Annotated[
        str,
        typer.Option(
            help="Train so many of the last layers, or all: with few, the states below are "
            "computed once, which is many times faster, and another fine-tuning."
        ),
    ] = "2"
    method: Annotated[str, typer.Option(help="lora, or full: the layers' own weights.")] = "lora"
    rank: Annotated[int, typer.Option(help="The rank of the adapters.")] = 4
    adapt: Annotated[
        str,
        typer.Option(
            help="Where the adapters act: response, from the last token of the prompt on, which is "
            "faster; or all tokens."
        ),
    ] = "response"
    vocabulary: Annotated[
        str,
        typer.Option(
            help="Train against so many candidate tokens, which is faster, or all. Answers are "
            "always scored over all."
        ),
    ] = "2048"
    epochs: Annotated[int, typer.Option(help="How often each example is seen.")] = 4
    batch: Annotated[int, typer.Option(help="Examples of a step.")] = 8
    learning_rate: Annotated[
        float | None,
        typer.Option(help="By default it is found on the whole set, and recorded."),
    ] = None
    score: Annotated[
        str,
        typer.Option(
            help='auto: the margin between the answer and "against" where there is one, else the '
            "answer's log-probability; or margin, logprob, prob."
        ),
    ] = "auto"
    repeats: Annotated[
        int,
        typer.Option(help="Seeds that each subset is trained with; 2 or more tell the noise."),
    ] = 1
    random_state: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the training, the masks and the fits.")
    ] = 0
    dtype: Annotated[str, typer.Option(hidden=True)] = field(default="float32", kw_only=True)

    def __post_init__(self) -> None:
        choice("--dtype", self.dtype, ("float32",))  # fine-tuning takes no other one
        choice("--adapt", self.adapt, ("response", _ALL))
        choice("--method", self.method, ("lora", "full"))
        choice("--score", self.score, ("auto", "margin", "logprob", "prob"))

    def game(self, trust: Trust = TYPED, /) -> lens.FineTuningGame:
        """The fine-tuning as a game.

        Args:
            trust: what may be read, contacted and loaded.

        Raises:
            ValueError: options that exclude each other, or something that may not be done.
        """
        layers = _number("--layers", self.layers)
        vocabulary = _number("--vocabulary", self.vocabulary)
        if self.group is not None and self.clusters is not None:
            raise ValueError("--group and --clusters were both given; choose one of them")
        examples = lens.read_examples(self.examples, self.group)
        questions = lens.read_questions(self.questions)
        if self.clusters is not None and not 2 <= self.clusters <= len(examples):
            raise ValueError(
                f"--clusters {self.clusters} is not between 2 and the {len(examples)} examples"
            )
        adapt: Any = self.adapt
        method: Any = self.method
        loaded, tokenizer = load_model(
            self.model,
            **self.loading(trust),
        )
        tuning = lens.FineTuning(
            loaded,
            tokenizer,
            examples,
            layers=layers,
            rank=self.rank,
            adapt=adapt,
            method=method,
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            vocabulary=None if vocabulary == _ALL else vocabulary,
            seed=self.random_state,
            chat=self.chat,
        )
        players: Any = None
        if self.clusters is not None:
            states = lens.embeddings(loaded, tokenizer, examples)
            players = lens.clusters(states, self.clusters, self.random_state)
        return lens.FineTuningGame(
            tuning, questions, players, score=self.score, n_repeats=self.repeats
        )


@dataclass(frozen=True)
class CheckOptions:
    """What is checked, what is printed beside the explanation, and whether anything is run."""

    point: Annotated[
        list[int] | None,
        typer.Option(
            "--point", help="Print what acts together at this question too, counted from 0."
        ),
    ] = None
    undo: Annotated[
        list[int] | None,
        typer.Option(
            help="Find the fewest players without which the answer to this question is undone, "
            "counted from 0, and retrain without them; may be repeated."
        ),
    ] = None
    check: Annotated[
        int,
        typer.Option(help="Train so many subsets with another seed too, and compare; 0: none."),
    ] = 12
    full_depth: Annotated[
        int,
        typer.Option(
            help="Train so many subsets in all layers and without approximations too, and compare. "
            "Each takes as long as an ordinary fine-tuning."
        ),
    ] = 0
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Estimate what it will evaluate and cost, and stop.")
    ] = False

    def check_numbers(self, n_questions: int) -> None:
        """Check the numbers of questions, before a model is loaded.

        Raises:
            ValueError: there is no such question.
        """
        for option, numbers in (("--point", self.point), ("--undo", self.undo)):
            for number in numbers or ():
                if not 0 <= number < n_questions:
                    raise ValueError(
                        f"{option} {number} is not one of the {n_questions} questions, which "
                        "count from 0"
                    )


@command
def finetuning_command(
    tuning: FineTuningOptions,
    run: RunOptions,
    checks: CheckOptions,
    shown: ShownOptions,
    gate: GateOptions,
) -> None:
    """Find which examples act together: a language model is fine-tuned without some of them.

    A player is an example or a group of them; the score is the tuned model's log-probability of the
    answer to each question. Redundancies: one of them would do. Synergies: together they do more
    than each alone.

    Example: interplay finetune --model smollm2 --examples train.jsonl --questions ask.jsonl
    --budget 500 --out out/facts
    """
    checks.check_numbers(len(lens.read_questions(tuning.questions)))
    game, out = tuning.game(), run.folder("finetune")
    refuse_another(game, out / FILE)
    gate.check_players(game)
    if checks.only_plan:
        with interruptible():
            planned = plan(game, **run.settings("finetune"))
        console.print(str(planned), markup=False, highlight=False)
        console.print(_extra(planned, checks), markup=False, highlight=False)
        return
    n_questions = len(game.questions)
    console.print(
        f"{game.n_players} players of {len(game.tuning.examples)} examples, {n_questions} "
        f"question{'' if n_questions == 1 else 's'}",
        highlight=False,
    )
    with interruptible():
        checked = game.check(checks.check, checks.full_depth)
        console.print(str(checked), markup=False, highlight=False)
        explanation = explain(game, **run.settings("finetune"))
    explanation = shown.recorded(explanation, run.order or ORDER)
    page = write(explanation, out, "finetune", asdict(tuning))
    print_verdict(explanation)
    shown.print_json((explanation.title, explanation))
    rows = shown.top or RELATIONS
    for number in (None, *(checks.point or ())):
        print_training(explanation, number, shown.index, explanation.order or ORDER, rows)
    _print_harm(explanation)
    print_run(explanation)
    print_lds(explanation, first_order_of(explanation))
    for number in checks.undo or ():
        with interruptible():
            undone = lens.undoing_set(
                explanation,
                game,
                number,
                store=out / STORE,
                random_state=run.random_state,
                backend=run.backend,
                progress=not run.quiet,
            )
        console.print(f"Undoing {undone}", markup=False, highlight=False)
    finish(page, explanation, gate)


def _print_harm(explanation: Explanation) -> None:
    """Print the players that lower the mean score, where any can be told from zero."""
    ranked = [one for one in lens.harmful(explanation) if one.certain][:_HARMFUL]
    if ranked and explanation.verdict.level != "not usable":
        lines = [
            "What harms the answers most, over all questions:",
            *(f"  {one}" for one in ranked),
        ]
        console.print("\n".join(lines), markup=False, highlight=False)


def _number(option: str, text: str) -> Any:
    """All, or a number from 1 on.

    Raises:
        ValueError: it is neither.
    """
    if text == _ALL:
        return _ALL
    if not (text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS and int(text)):
        raise ValueError(f"{option} {text} is neither all nor a whole number from 1 on")
    return int(text)


def _extra(planned: Plan, checks: CheckOptions) -> str:
    """What the checks take beside the run, in a line like those of a plan."""
    n_own = 2 * checks.check + 2
    seconds = planned.seconds or 0.0
    about = f", about {n_own * seconds / planned.n_new:.0f} s" if seconds and planned.n_new else ""
    full = (
        f"{checks.full_depth} at full depth, as long as ordinary fine-tunings"
        if checks.full_depth
        else "none at full depth (--full-depth)"
    )
    return f"{'checks':<13} {n_own} more trainings{about}; {full}"
