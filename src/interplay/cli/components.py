"""``interplay components``: the components lens on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.markup import escape
from rich.table import Table

from interplay import components as lens
from interplay.cli.folders import finish, refuse_another, write
from interplay.cli.options import (
    STORE,
    ConfirmOptions,
    GateOptions,
    ModelOptions,
    RunOptions,
    Seed,
    ShownOptions,
    choice,
    command,
    existing,
)
from interplay.cli.tables import console, interruptible
from interplay.cli.trust import TYPED, Trust
from interplay.components.analysis.pruning import most_ablations, number_to_keep
from interplay.components.analysis.rounds import check_objective
from interplay.components.tasks import ScoreName
from interplay.decoders.decode import decode
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.plan import Plan, duration, plan
from interplay.fourier.spectrum import Spectrum
from interplay.text import load_model

_KINDS = ("causal", "masked", "classification")
_MOST_DIGITS = 4
"""Of a layer's number: a range of layers is a list of numbers."""
_UNITS = ("heads", "kv-groups", "mlps", "neurons", "layers")
_BLOCKS = 8
"""Of an MLP's neurons, unless said otherwise."""


@dataclass(frozen=True)
class ComponentsOptions(ModelOptions):
    """The model, the questions, and which of its parts are players."""

    model: Annotated[
        str, typer.Option(help='Folder or hub name of a model, or "smollm2" (packaged).')
    ]
    task: Annotated[
        Path,
        typer.Option(
            "--task",
            callback=existing,
            dir_okay=False,
            help='The questions: JSON lines, {"prompt": ..., "answer": ..., "wrong": [...]} each, '
            "answers with their leading space.",
        ),
    ]
    kind: Annotated[
        str,
        typer.Option(
            help="What the model is: causal; masked, whose prompts hold its mask token; or "
            "classification, whose answers are its classes."
        ),
    ] = "causal"
    units: Annotated[
        list[str] | None,
        typer.Option(
            help="Players: heads; kv-groups, heads that share keys and values; mlps; neurons, in "
            "blocks; or layers. Give it several times for several: --units heads --units mlps. By "
            "default heads."
        ),
    ] = None
    blocks: Annotated[
        int | None,
        typer.Option(help=f"With neurons: so many blocks in each MLP; by default {_BLOCKS}."),
    ] = None
    layers: Annotated[
        str | None, typer.Option(help="Of these layers, from 0: 9-11, or 0,5,9-11; by default all.")
    ] = None
    group: Annotated[
        int | None,
        typer.Option(help="Units of so many consecutive layers are one player."),
    ] = None
    score: Annotated[
        list[str] | None,
        typer.Option(
            help="margin, correct, logprob, logprob_per_token or prob; the first is what is "
            "pruned by. Give it several times; by default margin and correct."
        ),
    ] = None
    ablation: Annotated[
        str, typer.Option(help="What stands in for a removed unit: zero, mean or resample.")
    ] = "zero"
    rescale: Annotated[
        bool, typer.Option(help="With zero: multiply the heads that stay by their share's inverse.")
    ] = False
    reference: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help="With mean and resample: the reference texts, one a line; by default the prompts.",
        ),
    ] = None
    hints: Annotated[
        str | None,
        typer.Option(
            help="What is expected of the players beforehand: attribution, from gradients of the "
            "scores at the intact model (about four ablations); by default nothing."
        ),
    ] = None
    test: Annotated[
        float,
        typer.Option(help="The share of questions that judge the pruning and do nothing else."),
    ] = 0.5
    keep: Annotated[
        list[float] | None,
        typer.Option(help="Prune to so many players, or to this share; give it several times."),
    ] = None
    random_state: Seed = 0

    def game(self, trust: Trust = TYPED, /) -> lens.ComponentGame:
        """The model's parts as a game, on the questions to explain by.

        Args:
            trust: what may be read, contacted and loaded.

        Raises:
            ValueError: options that exclude each other, or something that may not be done.
        """
        return self.split(trust)[0]

    def split(self, trust: Trust = TYPED, /) -> tuple[lens.ComponentGame, lens.Task | None]:
        """The game, and the questions that judge the pruning, if something is pruned."""
        scores: Any = tuple(self.score or ("margin", "correct"))
        if self.hints is not None:
            choice("--hints", self.hints, ("attribution",))
        numbers = None if self.layers is None else _numbers(self.layers)
        _check_choices(self.kind, self.units, scores)
        if self.blocks is not None and "neurons" not in (self.units or ()):
            raise ValueError("--blocks goes with --units neurons; give it too, or leave it out")
        whole = lens.Task.from_file(self.task, scores)
        train, judged = whole.split(self.test, self.random_state) if self.keep else (whole, None)
        stand_in = _ablation(self.ablation, self.rescale, self.reference)
        loaded, tokenizer = load_model(
            self.model,
            task=self.kind,
            **self.loading(trust),
        )
        units = [
            unit
            for name in self.units or ["heads"]
            for unit in _units(name, loaded, numbers, self.blocks)
        ]
        players: Any = units if self.group is None else lens.by_layers(units, self.group)
        game = lens.ComponentGame(loaded, tokenizer, train, players, stand_in, hints=self.hints)
        return game, judged


@dataclass(frozen=True)
class PruneOptions:
    """What the pruning is compared with, and whether anything is run at all."""

    random: Annotated[
        int, typer.Option(min=0, help="Compare with the best of so many random sets of each size.")
    ] = 0
    rounds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Evaluate the subsets that look best by all ablations so far, so many times: at "
            "most 4 further ablations for each round and size, and 1 for each size.",
        ),
    ] = 0
    objective: Annotated[
        str,
        typer.Option(
            help="What is wanted of the pruned model: best, the largest score; or faithful, the "
            "score nearest to the whole model's."
        ),
    ] = "best"
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Estimate what it will evaluate and cost, and stop.")
    ] = False


@command
def components_command(
    model: ComponentsOptions,
    run: RunOptions,
    confirmation: ConfirmOptions,
    pruning: PruneOptions,
    shown: ShownOptions,
    gate: GateOptions,
) -> None:
    """Explain a transformer's score on a task by its heads, MLPs, neurons or layers, and prune it.

    Example: interplay components --model smollm2 --task examples/tasks/agreement.jsonl --layers
    9-11 --keep 0.66 --keep 0.5 --out out/agreement
    """
    for name, given in (("random", pruning.random), ("rounds", pruning.rounds)):
        if given and not model.keep:
            raise ValueError(f"--{name} is about pruning; give --keep too, or leave it out")
    check_objective(pruning.objective)
    game, judged = model.split()
    for each in model.keep or ():
        number_to_keep(each, game.n_players)  # before anything is paid for
    out, settings = run.folder("components"), run.settings("components")
    refuse_another(game, out / FILE)
    gate.check_players(game)
    if pruning.only_plan:
        with interruptible():
            planned = plan(game, **settings)
        console.print(str(planned), markup=False, highlight=False)
        if judged is not None:
            _print_plan(game, judged, planned, model.keep or [], pruning)
        return
    console.print(f"{game.n_players} players; {len(game.task.items)} questions to explain by")
    with interruptible():
        explanation = shown.recorded(explain(game, **settings), run.order or 2)
    page = write(explanation, out, "components", asdict(model))
    with interruptible():
        explanation = confirmation.tested(explanation, "components", run)
    page = write(explanation, out, "components", asdict(model))
    shown.print(explanation)
    console.print(str(lens.structure(explanation)), markup=False, highlight=False)
    if judged is not None:
        with interruptible():
            pruned = lens.prune(
                game,
                game.on(judged),
                model.keep or [],
                _spectra(explanation, pruning.rounds),
                rounds=pruning.rounds,
                objective=pruning.objective,
                n_random=pruning.random,
                store=out / STORE,
                random_state=run.random_state,
                backend=run.backend,
            )
        explanation = explanation.with_circuits(pruned)
        page = write(explanation, out, "components", asdict(model))
        _print_pruned(game, judged, pruned)
    finish(page, explanation, gate)


def _check_choices(kind: str, units: list[str] | None, scores: tuple[str, ...]) -> None:
    for option, given, choices in (
        ("--kind", [kind], _KINDS),
        ("--units", units or [], _UNITS),
        ("--score", scores, get_args(ScoreName)),
    ):
        for name in given:
            choice(option, name, choices)


def _units(
    name: str, model: Any, layers: list[int] | None, blocks: int | None
) -> Sequence[lens.Unit | lens.Group]:
    """The units of one kind, of some layers."""
    if name == "neurons":
        return lens.neurons(model, layers, blocks=_BLOCKS if blocks is None else blocks)
    listed: dict[str, Callable[..., Sequence[lens.Unit | lens.Group]]] = {
        "heads": lens.heads,
        "kv-groups": lens.kv_groups,
        "mlps": lens.mlps,
        "layers": lens.layers,
    }
    return listed[name](model, layers)


def _ablation(name: str, rescale: bool, reference: Path | None) -> Any:
    choice("--ablation", name, ("zero", "mean", "resample"))
    if name != "zero" and rescale:
        raise ValueError(f"--rescale goes with --ablation zero, not {name}; leave it out")
    if name == "zero":
        if reference is not None:
            raise ValueError("--reference goes with --ablation mean or resample; leave it out")
        return lens.Zero(rescale)
    texts = None
    if reference is not None:
        lines = reference.read_text(encoding="utf-8").splitlines()
        texts = tuple(line for line in lines if line.strip())
        if not texts:
            raise ValueError(f"{reference} holds no texts; give one a line")
    return lens.Mean(texts) if name == "mean" else lens.Resample(texts)


def _numbers(layers: str) -> list[int]:
    """``0,5,9-11`` as numbers."""
    numbers: list[int] = []
    for part in layers.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"--layers {layers!r} is not like 9-11 or 0,5,9-11")
        if len(last or first) > _MOST_DIGITS:
            raise ValueError(f"--layers {layers[:20]!r}: no model has so many layers")
        if int(last or first) < int(first):
            raise ValueError(f"--layers {layers!r}: {part.strip()} ends before it begins")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _spectra(explanation: Explanation, rounds: int) -> Mapping[str, Spectrum | Explanation]:
    """What to prune by: the explanation with its rounds, its spectrum, and LASSO's without them."""
    spectra: dict[str, Spectrum | Explanation] = {}
    name = explanation.provenance["decoder"]["ran"]
    if rounds:
        spectra[f"{name} after rounds"] = explanation
    spectra[name] = explanation.spectrum
    if "lasso" not in spectra:
        known = explanation.fit  # what the others were fitted to
        if explanation.held_predictions is not None:
            known = explanation.ablations
        spectra["lasso"] = decode(known.masks, known.values, decoder="lasso")
    return spectra


def _print_plan(
    game: lens.ComponentGame,
    judged: lens.Task,
    planned: Plan,
    keep: Sequence[float],
    pruning: PruneOptions,
) -> None:
    """Print what the pruning will evaluate, as further lines of the plan."""
    n_sizes = len({number_to_keep(each, game.n_players) for each in keep})
    n_spectra = 1 + bool(pruning.rounds) + (planned.decoder != "lasso")
    on_game, on_judged = most_ablations(
        game.n_players, n_sizes, n_spectra, rounds=pruning.rounds, n_random=pruning.random
    )
    lines = f"pruning       at most {on_game:,} further ablations"
    if planned.seconds and planned.n_new:
        lines += f", about {duration(planned.seconds / planned.n_new * on_game)}"
    lines += f"\njudging       at most {on_judged:,} on the {len(judged.items)} other questions"
    console.print(lines, markup=False, highlight=False)


def _print_pruned(
    game: lens.ComponentGame, judged: lens.Task, results: Sequence[lens.Pruned]
) -> None:
    """Print the scores of what is kept on the held-out questions, and what was removed."""
    table = Table(
        title=f"On {len(judged.items)} questions held out (95 % interval over questions); wanted: "
        + {"best": "the largest score", "faithful": "the whole model's score"}[
            results[0].objective
        ],
        title_justify="left",
        min_width=60,
    )
    table.add_column("kept", justify="right")
    table.add_column("chosen by")
    for score in judged.scores:
        table.add_column(escape(str(score)), justify="right")
    for result in results:
        cells = [
            f"{value:.3f} ({low:.3f} to {high:.3f})"
            for value, low, high in zip(result.test, result.low, result.high, strict=True)
        ]
        table.add_row(f"{result.n_kept} of {game.n_players}", result.method, *cells)
    console.print(table)
    for result in results[1:]:
        if result.method != results[1].method:
            continue
        if result.spent:
            console.print(f"{result.method}: {result.note}", markup=False, highlight=False)
        removed = [game.players[n] for n in range(game.n_players) if not result.mask[n]]
        console.print(
            f"{result.method}, {result.n_kept} kept, removes {', '.join(removed)}",
            markup=False,
            highlight=False,
        )
