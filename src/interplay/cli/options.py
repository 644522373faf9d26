"""Options as frozen dataclasses: declared once, with their help texts, handed over as an object.

A command is a function of such dataclasses (:func:`command`): their fields become its options.
Those of a lens make its game and are what a recipe holds (:class:`LensOptions`);
:class:`RunOptions` are the arguments of ``explain``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, get_args, get_type_hints

import typer

from interplay.ablation.evaluator import ON_ERROR
from interplay.cli.status import EXIT_BELOW, EXIT_INTERRUPTED
from interplay.cli.tables import console, interruptible, print_explanation, silenced
from interplay.cli.trust import TYPED, Trust
from interplay.designs.measures import MEASURES, get_measure
from interplay.explanation.console import TOP
from interplay.explanation.explanation import Explanation
from interplay.explanation.exports import exported
from interplay.extensions import BACKENDS, DECODERS, INDICES, nearest
from interplay.game import Game, PlannedGame, players_of

if TYPE_CHECKING:
    from interplay.audit.expectations import Expected

STORE = "ablations.db"
"""The store in the folder of a run."""


class LensOptions(Protocol):
    """The options by which a command makes its game: a frozen dataclass.

    Its fields are annotated as typer wants them, ``Annotated[int, typer.Option(help=...)]``. They
    are written into the run's recipe, a ``Path`` with the file's hash, so that ``interplay verify``
    makes the same game again.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def game(self, trust: Trust = ..., /) -> PlannedGame:
        """The game. A ValueError says which options exclude each other.

        Args:
            trust: what may be read, contacted and loaded: anything for options that were typed,
                little for those of a recipe.
        """
        ...


def existing(value: Any) -> Any:
    """Check that the files and folders of an option exist: typer's callback.

    Raises:
        typer.BadParameter: one does not; the message names one that is spelt alike.
    """
    for path in value if isinstance(value, list) else [value]:
        if isinstance(path, Path) and not path.exists():
            raise typer.BadParameter(f"{path} does not exist{_alike(path)}")
    return value


def _alike(path: Path) -> str:
    """The path that may have been meant, or nothing."""
    missing = next(one for one in (*reversed(path.parents), path) if not one.exists())
    if not missing.parent.is_dir():
        return ""
    beside = [entry.name for entry in missing.parent.iterdir()]
    close = nearest(missing.name, beside)
    folder = "" if missing.parent == Path() else f"{missing.parent}/"
    return close.replace("mean '", f"mean '{folder}")


def choice(option: str, given: str, choices: Iterable[str]) -> str:
    """Check a choice, before anything is loaded, and return it.

    Raises:
        ValueError: it is none of the choices; the message names one that is spelt alike.
    """
    listed = list(choices)
    if given not in listed:
        raise ValueError(
            f"{option} {given} is unknown; choose one of {', '.join(listed)}"
            f"{nearest(given, listed)}"
        )
    return given


Out = Annotated[Path | None, typer.Option(help="Folder for the page, explanation and store.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of masks and fits.")]
Dtype = Annotated[
    str,
    typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 where this machine gains."),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Threads = Annotated[
    int | None, typer.Option(help="Torch threads; 1 where other processes run beside.")
]

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.")
]

AllowPickle = Annotated[
    bool,
    typer.Option(
        help="Load weights from other files than safetensors too. Such files can run code of "
        "whoever wrote them."
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a local model is loaded: the last options of every command that loads one."""

    dtype: Dtype = "float32"
    device: Device = "cpu"
    threads: Threads = None
    allow_pickle: AllowPickle = False

    def __post_init__(self) -> None:
        from interplay.text.models import DTYPES

        choice("--dtype", self.dtype, DTYPES)

    def loading(self, trust: Trust = TYPED) -> dict[str, Any]:
        """The arguments of ``load_model``.

        Args:
            trust: what may be read, contacted and loaded.
        """
        return {
            "dtype": self.dtype,
            "device": self.device,
            "threads": self.threads,
            "download": trust.anything or trust.download,
            "allow_pickle": trust.pickle or (trust.anything and self.allow_pickle),
        }


@dataclass(frozen=True)
class RunOptions:
    """How a game is explained: the arguments of ``explain``, and where everything is written."""

    PANEL: ClassVar[str] = "Run"

    decoder: Annotated[str, typer.Option(help=f"{DECODERS.listed}.")] = "auto"
    decoding: Annotated[str | None, typer.Option(help="For spex: soft or hard.")] = None
    order: Annotated[int | None, typer.Option(help="Largest order of interaction.")] = None
    budget: Annotated[
        int | None,
        typer.Option(
            help="Most ablations; by default 4 n log2 n, at least 100, and all up to 8 players."
        ),
    ] = None
    until: Annotated[
        float | None,
        typer.Option(
            help="Stop once the cross-validated R2 reaches this (1: once it no longer grows), or "
            "--budget, now by default 8 n log2 n, is spent."
        ),
    ] = None
    holdout: Annotated[
        float, typer.Option(help="Share (or number, from 10) of ablations held out at once.")
    ] = 0.1
    measure: Annotated[
        str | None,
        typer.Option(
            help=f"The law of the masks: {', '.join(MEASURES)} (for Shapley values, SII and FSII; "
            "the default but for training and published decoders), keep:0.9 or keep:0.5-0.97 (near "
            "the intact input, each player kept with that probability), or several with + between "
            "them."
        ),
    ] = None
    random_state: Seed = 0
    backend: Annotated[str, typer.Option(help=f"Where it runs: {BACKENDS.listed}.")] = "local"
    batch_size: Annotated[
        int | None, typer.Option(help="Ablations per call, which is what a kill may lose.")
    ] = None
    on_error: Annotated[
        str,
        typer.Option(help=f"When an ablation fails: {' or '.join(ON_ERROR)} (at most 1 %)."),
    ] = "raise"
    out: Out = None
    quiet: Quiet = False

    def folder(self, command: str) -> Path:
        """Where the run of a command is written."""
        return Path("out") / command if self.out is None else self.out

    def __post_init__(self) -> None:
        # what is wrong is told before a model is loaded
        if self.measure is not None:
            get_measure(self.measure)
        choice("--decoder", self.decoder, DECODERS)
        choice("--backend", self.backend, BACKENDS)
        choice("--on-error", self.on_error, ON_ERROR)
        for name in ("order", "budget", "batch_size"):
            number = getattr(self, name)
            if number is not None and number < 1:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} {number} is below 1; give a whole number from 1 on")

    def settings(self, command: str) -> dict[str, Any]:
        """The arguments of ``explain`` and ``plan``."""
        named = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("out", "decoding", "quiet")
        }
        options: dict[str, Any] = {} if self.decoding is None else {"decoding": self.decoding}
        options["progress"] = not self.quiet
        return named | {"store": self.folder(command) / STORE} | options


_TABLES = 12
"""The most ablations for truth tables."""


def with_tables(explanation: Explanation, **settings: Any) -> Explanation:
    """The explanation with truth tables that are measured as far as a tenth of its run pays for.

    They are left out where evaluations cost money, and after an interruption.

    Args:
        explanation: of a run.
        **settings: arguments of :meth:`interplay.Explanation.with_truth_tables`.
    """
    is_paid = explanation.provenance["game"]["description"].get("paid")
    if is_paid or "interrupted" in explanation.verdict.codes:
        return explanation
    few = min(_TABLES, explanation.provenance["budget"]["spent"] // 10)
    return explanation.with_truth_tables(budget=few, **settings)


@dataclass(frozen=True)
class ConfirmOptions:
    """Whether the strongest interactions are tested."""

    PANEL: ClassVar[str] = "Confirmation"

    confirm: Annotated[
        int, typer.Option(help="Test so many of the interactions by fresh ablations.")
    ] = 0
    confirm_budget: Annotated[
        int | None,
        typer.Option(
            help="Most ablations for that, beyond the run's own; by default as many as the run "
            "took, at most 500."
        ),
    ] = None

    decisive: Annotated[
        bool,
        typer.Option(
            "--decisive",
            help="Find the smallest set without which the answer changes, and the smallest that "
            "suffices for it; each takes at most 20 ablations more.",
        ),
    ] = False
    threshold: Annotated[
        float | None,
        typer.Option(
            help="For --decisive: the score at which the answer changes; by default 0 for a margin "
            "or log-odds, else half of the way from everything to nothing."
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not self.decisive:
            raise ValueError("--threshold was given without --decisive, which it is for")

    def tested(self, explanation: Explanation, command: str, run: RunOptions) -> Explanation:
        """The explanation with truth tables, and what else was asked for."""
        settings: dict[str, Any] = {
            "store": run.folder(command) / STORE,
            "backend": run.backend,
            "batch_size": run.batch_size,
            "progress": not run.quiet,
        }
        explanation = with_tables(explanation, **settings)
        if self.decisive:
            sets = tuple(
                ask(threshold=self.threshold, **settings)
                for ask in (explanation.necessary, explanation.sufficient)
            )
            explanation = replace(explanation, decisive=sets)
        if self.confirm:
            confirmation = self.confirmed(explanation, command, run)
            explanation = replace(explanation, confirmation=confirmation)
        return explanation

    def confirmed(self, explanation: Explanation, command: str, run: RunOptions) -> Any:
        """The confirmation of the strongest interactions; prints first what it costs."""
        cost = explanation.confirmation_cost(
            self.confirm, budget=self.confirm_budget, random_state=run.random_state
        )
        console.print(str(cost), markup=False, highlight=False)
        return explanation.confirm(
            cost.n_claims or self.confirm,
            budget=cost.budget,
            store=run.folder(command) / STORE,
            random_state=run.random_state,
            backend=run.backend,
            batch_size=run.batch_size,
            progress=not run.quiet,
        )


Index = Annotated[
    str | None,
    typer.Option(
        help="The index that is shown: FSII, STII, SII, k-SII, FBII, BII, SV, Co-Moebius, ..., in "
        "any case; by default the one that looks where the run's masks are."
    ),
]
Top = Annotated[
    int | None,
    typer.Option(min=1, help="The most rows of a table: by default 10, of relations 3 of a kind."),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the explanation as JSON, and nothing else; docs/auditing.md has its schema.",
    ),
]


@dataclass(frozen=True)
class ShownOptions:
    """What is printed of an explanation."""

    PANEL: ClassVar[str] = "What is shown"

    index: Index = None
    top: Top = None
    as_json: AsJson = False
    quiet: Quiet = False

    def __post_init__(self) -> None:
        if self.index is not None:
            INDICES.named(self.index)  # told before a model is loaded

    def recorded(self, explanation: Explanation, order: int | None) -> Explanation:
        """The explanation with what is shown of it, which reports and ``show`` follow."""
        index = None if self.index is None else INDICES.named(self.index)
        shown = {"index": index, "order": order}
        return replace(explanation, provenance=explanation.provenance | {"shown": shown})

    def print(self, explanation: Explanation) -> None:
        """Print the explanation: as JSON, or as ``interplay show`` does."""
        self.print_json((explanation.title, explanation))
        print_explanation(explanation, self.index, None, self.top or TOP)

    def print_json(self, *parts: tuple[str, Explanation]) -> None:
        """Print explanations, each with its title, as JSON, if that was asked for.

        All else is silent then.
        """
        if self.as_json:
            typer.echo(exported(parts, "json"), nl=False)


FailUnder = Annotated[
    float | None,
    typer.Option(
        max=1.0,
        help="End with exit status 4 unless the lower end of R2's interval is at least this (of "
        "all masks: R2 itself; a score that is not known fails too).",
    ),
]


@dataclass(frozen=True)
class ScoreOptions:
    """What a score must be for the command to succeed."""

    PANEL: ClassVar[str] = "What is shown"

    fail_under: FailUnder = None

    def check(self, explanation: Explanation) -> None:
        """End the command with the status :data:`EXIT_BELOW` if the score is too low.

        Everything is written by then: a pipeline that stops can show why.

        Raises:
            typer.Exit: the lower end of the interval of R2 is below the limit, or not known.
        """
        score = explanation.faithfulness
        if self.fail_under is None or (score.known and score.low >= self.fail_under):
            return
        lower = f"{score.low:.3f}" if score.known else "not known"
        typer.echo(
            f"--fail-under {self.fail_under:g}: the lower end of R2's interval is {lower}", err=True
        )
        raise typer.Exit(EXIT_BELOW)


@dataclass(frozen=True)
class GateOptions(ScoreOptions):
    """What a score, and the game, must be for a run to succeed."""

    expect: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help="A TOML file of what is expected (docs/auditing.md), tested by fresh ablations; "
            "end with exit status 4 unless all of it is shown.",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.expect is not None:  # what is wrong is told before a model is loaded
            from interplay.audit.wanted import read_expectations

            if "unchanged" in read_expectations(self.expect):
                raise ValueError(
                    f"--expect {self.expect}: unchanged is expected of two runs; give it to "
                    "interplay compare"
                )

    def check_players(self, game: Game) -> None:
        """Refuse expectations of players that a game does not have, before it is evaluated."""
        if self.expect is not None:
            from interplay.audit.wanted import check_players, read_expectations

            check_players(read_expectations(self.expect), players_of(game))

    def outcomes(self, explanation: Explanation, store: Path) -> tuple[Expected, ...] | None:
        """Test and print what is expected of the game.

        Args:
            explanation: with its game.
            store: that of the run.

        Returns:
            What came of it; ``None`` if nothing is expected, or the run was interrupted: what there
            was by then is explained and written, and no more is asked of the game.
        """
        if self.expect is None or explanation.provenance["budget"]["interrupted"]:
            return None
        from interplay.audit.expectations import expect

        with interruptible():
            outcomes = expect(explanation, self.expect, store=store)
        for one in outcomes:
            console.print(str(one), markup=False, highlight=False, soft_wrap=True)
        return outcomes

    def end(self, explanation: Explanation, outcomes: Sequence[Expected] | None) -> None:
        """End a run: with the status 130 if it was interrupted, else as :meth:`check` does.

        Args:
            explanation: it.
            outcomes: those of :meth:`outcomes`.

        Raises:
            typer.Exit: the run was interrupted, or something is not as it must be.
        """
        if explanation.provenance["budget"]["interrupted"]:
            raise typer.Exit(EXIT_INTERRUPTED)
        self.check(explanation)
        if any(not one.is_met for one in outcomes or ()):
            raise typer.Exit(EXIT_BELOW)


def _in_panel(annotation: Any, panel: str | None) -> Any:
    """The annotation of an option with the panel of the help that it stands in."""
    kind, option = get_args(annotation)
    option = copy(option)
    option.rich_help_panel = panel
    return Annotated[kind, option]


_SILENT = ("quiet", "as_json")


def command(function: Callable[..., None]) -> Callable[..., None]:
    """A function of option dataclasses as a command with all their fields as its options.

    A field that several of the dataclasses have is one option, which all of them are given.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hints[name] for name in signature(function).parameters}
    parameters: dict[str, Parameter] = {}
    for name, group in groups.items():
        if not is_dataclass(group):
            given = signature(function).parameters[name]
            parameters[name] = given.replace(annotation=group, kind=Parameter.KEYWORD_ONLY)
            continue
        types = get_type_hints(group, include_extras=True)
        # those that a group has from another one stand last
        for field in sorted(fields(group), key=lambda field: bool(field.kw_only)):
            default = Parameter.empty if field.default is MISSING else field.default
            parameters.setdefault(
                field.name,
                Parameter(
                    field.name,
                    Parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=_in_panel(types[field.name], getattr(group, "PANEL", None)),
                ),
            )

    def run(**given: Any) -> None:
        made = {
            name: group(**{field.name: given[field.name] for field in fields(group)})
            if isinstance(group, type) and is_dataclass(group)
            else given[name]
            for name, group in groups.items()
        }
        told = any(getattr(group, name, False) for group in made.values() for name in _SILENT)
        with silenced(told):
            function(**made)

    decorated: Any = run  # typer reads these
    decorated.__name__, decorated.__doc__ = function.__name__, function.__doc__
    decorated.__signature__ = Signature(list(parameters.values()))
    decorated.__annotations__ = {
        name: parameter.annotation for name, parameter in parameters.items()
    }
    return run
