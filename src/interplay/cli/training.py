"""``interplay training``: the training lens on the command line."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from interplay import training as lens
from interplay.cli.folders import finish, refuse_another, write
from interplay.cli.options import (
    STORE,
    GateOptions,
    RunOptions,
    Seed,
    ShownOptions,
    choice,
    command,
    existing,
)
from interplay.cli.rows import SIZE, Rows, read_rows, snippets, standardised, thumbnails
from interplay.cli.tables import console, interruptible, print_run, print_verdict
from interplay.cli.trust import TYPED, Trust
from interplay.decoders.decode import decode
from interplay.explanation.console import ORDER
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.faithfulness import lds, rank_correlation
from interplay.extensions import INDICES
from interplay.fourier.spectrum import Spectrum

_ALL = sys.maxsize
RELATIONS = 3
"""How many relations of each kind are printed."""
_TRAINERS = {"ridge": lens.Ridge, "logistic": lens.Logistic, "network": lens.Network}


@dataclass(frozen=True)
class TrainingOptions:
    """The table of training rows, the test points, and how a classifier is retrained."""

    table: Annotated[
        Path,
        typer.Option(
            "--table",
            callback=existing,
            dir_okay=False,
            help="Training rows: CSV with a header. All columns but those named by the other "
            "options are features, numbers; they are standardised.",
        ),
    ]
    label: Annotated[str, typer.Option(help="The column with the class.")]
    group: Annotated[str | None, typer.Option(help="The column with the group: a player each.")] = (
        None
    )
    players: Annotated[
        int | None,
        typer.Option(
            help="Without --group: so many random groups, each of one class, are the players; "
            "without either, each row is one."
        ),
    ] = None
    note: Annotated[
        str | None,
        typer.Option(
            help="A column that says in words what a row is: kept for reports, no feature."
        ),
    ] = None
    images: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            file_okay=False,
            help="A folder of images: the table's column `file` names one for each row. They are "
            "made "
            f"grey and {SIZE} pixels wide and high, and are the features.",
        ),
    ] = None
    test: Annotated[
        Path | None,
        typer.Option(
            callback=existing, dir_okay=False, help="Test points, with the columns of --table."
        ),
    ] = None
    points: Annotated[
        int,
        typer.Option(
            help="So many test points, at random: of --test, or taken out of the table. Each has "
            "its own explanation, which takes its time."
        ),
    ] = 20
    trainer: Annotated[str, typer.Option(help="ridge, logistic or network.")] = "ridge"
    score: Annotated[
        str, typer.Option(help="At each test point: margin, logprob, loss or correct.")
    ] = "margin"
    repeats: Annotated[
        int,
        typer.Option(help="Trainings of each subset, averaged; 2 or more tell a network's noise."),
    ] = 1
    random_state: Seed = 0

    def game(self, trust: Trust = TYPED, /) -> lens.TrainingGame:
        """The rows or their groups as a game.

        Raises:
            ValueError: options that exclude each other.
        """
        choice("--trainer", self.trainer, _TRAINERS)
        if self.group is not None and self.players is not None:
            raise ValueError("--group and --players were both given; choose one of them")
        if self.points < 1:
            raise ValueError(f"--points {self.points} is below 1; give at least one test point")
        rows = read_rows(self.table, self.label, self.group, self.note, self.images)
        rng = np.random.default_rng(self.random_state)
        if self.test is not None:
            judged = read_rows(self.test, self.label, images=self.images, columns=rows.columns)
            judged = judged.take(rng.permutation(len(judged))[: self.points])
        elif self.points < len(rows):
            order_of = rng.permutation(len(rows))
            rows, judged = (
                rows.take(np.sort(order_of[self.points :])),
                rows.take(order_of[: self.points]),
            )
        else:
            raise ValueError(
                f"--points {self.points} takes all {len(rows)} rows; leave some to train on"
            )
        return _game(
            rows,
            judged,
            self.players,
            _TRAINERS[self.trainer](),
            self.score,
            self.repeats,
            self.random_state,
        )


ShownPoint = Annotated[
    int | None,
    typer.Option(
        "--point", help="Of training data: at this test point, counted from 0; else their mean."
    ),
]


@dataclass(frozen=True)
class ShowOptions:
    """What is printed beside the explanation, and what is removed."""

    point: Annotated[
        list[int] | None,
        typer.Option(
            "--point", help="Print what acts together at this test point too, counted from 0."
        ),
    ] = None
    remove: Annotated[
        list[int] | None,
        typer.Option(help="Remove so many players that hurt most, and retrain; may be repeated."),
    ] = None


@command
def training_command(
    table: TrainingOptions,
    run: RunOptions,
    show: ShowOptions,
    shown: ShownOptions,
    gate: GateOptions,
) -> None:
    """Find which training data act together: a classifier is retrained without some of them.

    A player is a group of training rows; the score is the retrained classifier's at each test
    point. Synergies: together the players do more for the score than each alone. Redundancies: one
    of them would do.

    Example: interplay training --table digits.csv --label digit --players 100 --trainer logistic
    --budget 2000 --remove 10 --out out/digits
    """
    for number in show.point or ():
        if not 0 <= number < table.points:
            raise ValueError(
                f"--point {number} is not one of the {table.points}, which count from 0"
            )
    game, out = table.game(), run.folder("training")
    refuse_another(game, out / FILE)
    gate.check_players(game)
    n_points = len(game.data.test_labels)
    console.print(
        f"{game.n_players} players of {len(game.data.labels)} rows, {n_points} test "
        f"point{'' if n_points == 1 else 's'}",
        highlight=False,
    )
    with interruptible():
        explanation = shown.recorded(explain(game, **run.settings("training")), run.order or ORDER)
    page = write(explanation, out, "training", asdict(table))
    first_order = first_order_of(explanation)
    print_verdict(explanation)
    shown.print_json((explanation.title, explanation))
    rows = shown.top or RELATIONS
    print_training(explanation, None, shown.index, explanation.order or ORDER, rows)
    for number in show.point or ():
        print_training(explanation, number, shown.index, explanation.order or ORDER, rows)
    print_run(explanation)
    print_lds(explanation, first_order)
    if show.remove:
        ran = explanation.provenance["decoder"]["ran"]
        spectra = {ran: explanation.spectrum, "first order": first_order}
        with interruptible():
            curves = lens.removal_curves(
                game, show.remove, spectra, hurting=table.score != "loss", store=out / STORE
            )
        _print_curves(curves)
    finish(page, explanation, gate)


def _game(
    rows: Rows,
    judged: Rows,
    players: int | None,
    trainer: lens.Trainer,
    score: Any,
    repeats: int,
    random_state: int,
) -> lens.TrainingGame:
    features, tests = rows.features, judged.features
    if rows.columns:
        features, tests = standardised(features, tests)
    groups: Any = rows.groups
    if players is not None:
        groups = lens.within_classes(rows.labels, players, random_state)
    data = lens.TrainingData.checked(features, rows.labels, tests, judged.labels, groups)
    if groups is None:
        data = replace(data, players=tuple(rows.names))
    own = data.owners, data.n_players
    return lens.TrainingGame(
        trainer,
        data,
        score,
        n_repeats=repeats,
        test_names=[f"{n} ({c})" for n, c in zip(judged.names, judged.labels, strict=True)],
        snippets=None if rows.notes is None else snippets(rows.notes, *own),
        thumbnails=None if rows.columns else thumbnails(rows.features, *own),
    )


def print_training(
    explanation: Explanation,
    point: int | None = None,
    index: str | None = None,
    order: int = 3,
    top: int = RELATIONS,
) -> None:
    """Print the strongest pairs and larger sets of each kind, at a test point or over all.

    Only findings are listed.
    """
    if explanation.verdict.level == "not usable":
        console.print("No relations to report: what was fitted is not distinguishable from zero.")
        return
    table = Table(title_justify="left", min_width=60)
    table.add_column("")
    table.add_column("value", justify="right", no_wrap=True)
    if point is None:
        table.add_column("rms", justify="right", no_wrap=True)
    table.add_column("players")
    index = INDICES.named(index or explanation.index)
    sizes = {"pairs": (2, 2)} | ({"larger sets": (3, order)} if order > 2 else {})
    orders = ", ".join(f"{name} by order {largest}" for name, (_, largest) in sizes.items())
    for name, (smallest, largest) in sizes.items():
        strongest = lens.relations(
            explanation, point=point, index=index, order=largest, min_order=smallest, top=_ALL
        )
        n_listed = 0
        for title, relations in strongest.kinds:
            certain = [one for one in relations if one.certain][:top]
            for place, relation in enumerate(certain):
                first = f"{name}: {title}" if place == 0 else ""
                spread = [f"{relation.rms:.3g}"] if point is None else []
                table.add_row(first, f"{relation.value:+.3g}", *spread, escape(relation.label))
            n_listed += len(certain)
        if not n_listed:
            blank = [""] * (2 if point is None else 1)
            table.add_row(f"{name}: none", *blank, "none is distinguishable from zero")
    what = "question" if "tags" in explanation.provenance["game"]["description"] else "test point"
    where = f"{what} {strongest.point}" if strongest.point is not None else f"mean over the {what}s"
    table.title = escape(f"What acts together, {where} ({index}; {orders})")
    console.print(table)


def first_order_of(explanation: Explanation) -> Spectrum:
    """What single players say of the scores: exactly if all masks are known, else fitted."""
    if explanation.faithfulness.exact:
        return explanation.spectrum.truncate(order=1)
    return decode(explanation.fit.masks, explanation.fit.values, decoder="lasso")


def print_lds(explanation: Explanation, first_order: Spectrum) -> None:
    """Print the rank correlation with the held-out scores, and that of first order alone."""
    held = explanation.held_out
    whole = np.nanmean(rank_correlation(held.values, explanation.predict_held_out()))
    first = np.nanmean(lds(first_order, held.masks, held.values))
    console.print(
        f"LDS (rank correlation with those held out, mean over test points): {whole:.3f}; of first "
        f"order alone {first:.3f}"
    )


def _print_curves(curves: Any) -> None:
    table = Table(title="Mean score without the players that hurt most", title_justify="left")
    table.add_column("removed", justify="right")
    for curve in curves:
        what = "mean (5 to 95 %)" if curve.method == "random" else "actual (predicted)"
        table.add_column(escape(f"{curve.method}: {what}"), justify="right")
    for row, count in enumerate(curves[0].n_removed):
        cells = [
            f"{curve.actual[row]:+.3f} ({curve.predicted[row]:+.3f})"
            if curve.method != "random"
            else f"{curve.actual[row]:+.3f} ({curve.low[row]:+.3f} to {curve.high[row]:+.3f})"
            for curve in curves
        ]
        table.add_row(str(count), *cells)
    console.print(table)
