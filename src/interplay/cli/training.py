"""``interplay training``: the training lens on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from interplay import training as lens
from interplay.cli.folders import STORE, refuse_another, write
from interplay.cli.options import Budget, Decoder, Decoding, Holdout, OnError, Order, Out, Seed
from interplay.cli.rows import Rows, read_rows
from interplay.cli.tables import console, interruptible
from interplay.decoders import decode
from interplay.evaluation import lds
from interplay.explain import explain
from interplay.explanation import FILE, Explanation

_TRAINERS = {"ridge": lens.Ridge, "logistic": lens.Logistic, "network": lens.Network}

TableFile = Annotated[
    Path,
    typer.Option(
        "--table",
        exists=True,
        dir_okay=False,
        help="Training rows: CSV with a header. Columns other than the label and the group are "
        "features, numbers.",
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="A folder of images: the table's column `file` names one for each row.",
    ),
]
Label = Annotated[str, typer.Option(help="The column with the class.")]
Group = Annotated[str | None, typer.Option(help="The column with the group: a player each.")]
Players = Annotated[
    int | None,
    typer.Option(help="Without --group: so many random groups, each of one class; else each row."),
]
TestFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Test points, in the form of --table."),
]
Points = Annotated[
    int, typer.Option(help="So many test points; without --test taken out of the table, at random.")
]
TrainerName = Annotated[str, typer.Option(help="ridge, logistic or network.")]
ScoreName = Annotated[
    str, typer.Option(help="At each test point: margin, logprob, loss or correct.")
]
Repeats = Annotated[int, typer.Option(help="Seeds for each subset, for a network.")]
Remove = Annotated[
    list[int] | None,
    typer.Option(help="Remove so many players that hurt most, and retrain; several times."),
]
_DEFAULT_OUT = Path("out/training")


def training_command(
    table: TableFile,
    label: Label,
    group: Group = None,
    players: Players = None,
    images: Images = None,
    test: TestFile = None,
    points: Points = 20,
    trainer: TrainerName = "ridge",
    score: ScoreName = "margin",
    repeats: Repeats = 1,
    remove: Remove = None,
    decoder: Decoder = "proxyspex",
    decoding: Decoding = None,
    order: Order = None,
    budget: Budget = None,
    holdout: Holdout = 0.1,
    random_state: Seed = 0,
    on_error: OnError = "raise",
    out: Out = _DEFAULT_OUT,
) -> None:
    """Explain a classifier's scores at test points by what it was trained on.

    Example: interplay training --table digits.csv --label digit --players 100 --trainer logistic
    --budget 2000 --remove 10 --out out/digits
    """
    everything = locals()
    given = {name: everything[name] for name in _GAME}
    game, n_rows = training_game(**given)
    refuse_another(game, out / FILE)
    console.print(
        f"{game.n_players} players of {n_rows} rows, {len(game.data.test_labels)} test points",
        highlight=False,
    )
    options: dict[str, Any] = {} if decoding is None else {"decoding": decoding}
    with interruptible():
        explanation = explain(
            game,
            decoder,
            budget,
            order,
            holdout,
            out / STORE,
            random_state,
            on_error=on_error,
            **options,
        )
    page = write(explanation, out, "training", given)
    first_order = decode(explanation.fit.masks, explanation.fit.values, "lasso")
    _print(explanation, first_order)
    if remove:
        ran = explanation.provenance["decoder"]["ran"]
        spectra = {ran: explanation.spectrum, "first order": first_order}
        with interruptible():
            curves = lens.removal_curves(game, remove, spectra, store=out / STORE)
        _print_curves(curves)
    console.print(f"page: {page}")


_GAME = (
    *("table", "label", "group", "players", "images", "test", "points", "trainer", "score"),
    *("repeats", "random_state"),
)


def training_game(
    *,
    table: Path,
    label: str,
    group: str | None,
    players: int | None,
    images: Path | None,
    test: Path | None,
    points: int,
    trainer: str,
    score: str,
    repeats: int,
    random_state: int,
) -> tuple[lens.TrainingGame, int]:
    """The game of ``interplay training``, by its options, and the number of its training rows."""
    if trainer not in _TRAINERS:
        raise ValueError(f"--trainer {trainer} is unknown; choose one of {', '.join(_TRAINERS)}")
    if group is not None and players is not None:
        raise ValueError("--group and --players were both given; choose one of them")
    if points < 1:
        raise ValueError(f"--points {points} is below 1; give at least one test point")
    rows = read_rows(table, label, group, images)
    rng = np.random.default_rng(random_state)
    if test is not None:
        judged = read_rows(test, label, group, images)
        chosen = rng.permutation(len(judged))[:points]
        judged = _take(judged, chosen)
    else:
        order_of = rng.permutation(len(rows))
        if points >= len(rows):
            raise ValueError(
                f"--points {points} takes all {len(rows)} rows; leave some to train on"
            )
        rows, judged = _take(rows, np.sort(order_of[points:])), _take(rows, order_of[:points])
    groups: Any = rows.groups
    if players is not None:
        groups = lens.within_classes(rows.labels, players, random_state)
    data = lens.TrainingData.checked(
        rows.features, rows.labels, judged.features, judged.labels, groups
    )
    game = lens.TrainingGame(_TRAINERS[trainer](), data, score, n_repeats=repeats)  # type: ignore[arg-type]
    return game, len(rows)


def _take(rows: Rows, chosen: Any) -> Rows:
    numbers = [int(n) for n in chosen]
    return Rows(
        rows.features[numbers],
        [rows.labels[n] for n in numbers],
        None if rows.groups is None else [rows.groups[n] for n in numbers],
    )


def _print(explanation: Explanation, first_order: Any) -> None:
    console.print(f"Held-out faithfulness: [bold]{explanation.faithfulness}[/bold]")
    held = explanation.held_out
    for name, spectrum in (("spectrum", explanation.spectrum), ("first order", first_order)):
        score = lds(spectrum, held.masks, held.values)
        console.print(f"LDS of the {name}: {np.nanmean(score):.3f}, mean over test points")
    budget, seconds = explanation.provenance["budget"], explanation.provenance["seconds"]
    console.print(
        f"{budget['spent']} retrainings ({budget['evaluated']} made, {budget['from_store']} from "
        f"the store) in {seconds['ablations']:.1f} s, decoded in {seconds['decoding']:.1f} s"
    )
    console.print(str(lens.relations(explanation)), markup=False, highlight=False)


def _print_curves(curves: Any) -> None:
    table = Table(title="Without the players that hurt most", title_justify="left", min_width=60)
    table.add_column("removed", justify="right")
    for curve in curves:
        table.add_column(escape(f"{curve.method}: actual (predicted)"), justify="right")
    for row, count in enumerate(curves[0].n_removed):
        cells = [
            f"{curve.actual[row]:+.3f} ({curve.predicted[row]:+.3f})"
            if curve.method != "random"
            else f"{curve.actual[row]:+.3f} ({curve.low[row]:+.3f} to {curve.high[row]:+.3f})"
            for curve in curves
        ]
        table.add_row(str(count), *cells)
    console.print(table)
