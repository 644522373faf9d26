"""``interplay table``: the tabular lens on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from interplay import tabular as lens
from interplay.cli.folders import refuse_another
from interplay.cli.lens import explain_and_write
from interplay.cli.options import (
    ConfirmOptions,
    GateOptions,
    RunOptions,
    Seed,
    ShownOptions,
    command,
    existing,
)
from interplay.cli.rows import no_column
from interplay.cli.tables import console
from interplay.cli.trust import TYPED, Trust
from interplay.errors import MissingDependencyError
from interplay.explanation.explanation import FILE
from interplay.tabular.imputation import BANDWIDTH, NAMES


@dataclass(frozen=True)
class TableOptions:
    """The model, the row that is explained, and what stands in for its features."""

    # `model` would be the name of a language model, or its folder, in a recipe
    model_file: Annotated[
        Path,
        typer.Option(
            "--model",
            callback=existing,
            dir_okay=False,
            help="A .skops or .onnx file. Pickles are never loaded.",
        ),
    ]
    data: Annotated[
        Path,
        typer.Option(
            callback=existing, dir_okay=False, help="CSV with a header: the row is one of its rows."
        ),
    ]
    row: Annotated[int, typer.Option(help="The number of the row; the first is 0.")] = 0
    background: Annotated[
        Path | None,
        typer.Option(
            callback=existing,
            dir_okay=False,
            help="CSV with the same columns: rows that stand in for removed features, such as the "
            "training set. By default --data.",
        ),
    ] = None
    imputation: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(NAMES)}: all background rows alike (as SHAP), those near to the row "
            "in what is kept, or by linear regression on it."
        ),
    ] = "marginal"
    bandwidth: Annotated[
        float | None,
        typer.Option(help=f"What near means for conditional; by default {BANDWIDTH}."),
    ] = None
    n_background: Annotated[
        int | None,
        typer.Option(help="Most background rows; by default 100, 1,000 for conditional."),
    ] = None
    group: Annotated[
        list[str] | None,
        typer.Option(help="Columns that are one player, such as city=city_a,city_b; repeatable."),
    ] = None
    one_hot: Annotated[
        bool, typer.Option("--one-hot", help="One-hot columns of one feature are one player.")
    ] = False
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="A column that the model does not get, such as the target; repeatable. Columns "
            "that a model does not know are left out by themselves."
        ),
    ] = None
    call: Annotated[
        str | None,
        typer.Option(
            help="predict_proba, decision_function or predict; by default the first that the model "
            "has. Of ONNX the name of an output."
        ),
    ] = None
    output: Annotated[
        str | None, typer.Option(help="Only this class; by default each has its explanation.")
    ] = None
    trust_type: Annotated[
        list[str] | None,
        typer.Option(
            help="A type of the .skops file that you trust beyond those that skops trusts, such as "
            "sklearn.tree._tree.Tree; repeatable. Types can run code of whoever wrote them."
        ),
    ] = None
    random_state: Seed = 0

    def game(self, trust: Trust = TYPED, /) -> lens.TabularGame:
        """The row of the table as a game.

        Raises:
            ValueError: no such row, column or class; a file that cannot be read; types of the model
                that are not trusted.
            MissingDependencyError: pandas, skops or onnxruntime is not installed.
        """
        if self.trust_type and not (trust.anything or trust.pickle):
            raise ValueError(
                f"the recipe wants to load {', '.join(self.trust_type)}, which can run code of "
                "whoever wrote them; if you trust them, give --allow-pickle, or --sample 0 to load "
                "no model"
            )
        model = lens.load_model(self.model_file, call=self.call, trusted=self.trust_type or ())
        background = _read(self.background or self.data)
        texts = [name for name in background.columns if background[name].dtype.kind not in "biuf"]
        rows = background if self.background is None else _read(self.data, texts)
        if not 0 <= self.row < len(rows):
            raise ValueError(
                f"--row {self.row} is not one of the {len(rows)} rows of {self.data}, which count "
                "from 0"
            )
        columns = _columns(background.columns, model.columns, self.without or (), self.data)
        background = background[columns]
        groups = lens.one_hot(background) if self.one_hot else {}
        return lens.TabularGame(
            model,
            rows.iloc[[self.row]],
            background=background,
            imputation=self.imputation,
            bandwidth=self.bandwidth,
            n_background=self.n_background,
            groups=groups | dict(map(_group, self.group or ())),
            output=self.output,
            random_state=self.random_state,
        )


def _read(path: Path, texts: Sequence[str] = ()) -> Any:
    """A CSV file as a ``DataFrame``.

    Args:
        path: the file.
        texts: columns that are texts whatever is in them.

    Raises:
        ValueError: it cannot be read, or has no rows.
        MissingDependencyError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingDependencyError("pandas", "tabular", "reading tables") from error
    try:
        # as it is, whatever its name ends with: a small packed file may hold a large one
        table = pd.read_csv(
            path, dtype=dict.fromkeys(texts, str), encoding="utf-8-sig", compression=None
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path} is no CSV that can be read: {error}") from error
    if table.empty:
        raise ValueError(f"{path} has no rows")
    return table


def _columns(
    present: Sequence[str], wanted: Sequence[str] | None, without: Sequence[str], path: Path
) -> list[str]:
    """The columns that the model gets.

    Raises:
        ValueError: some that it takes, or that are left out, are not there; or none are left.
    """
    for name in (*(wanted or ()), *without):
        if name not in present:
            raise no_column(path, name, present)
    if wanted is not None and set(wanted) & set(without):
        taken = sorted(set(wanted) & set(without))[0]
        raise ValueError(f"--without {taken} is a column that the model takes; leave it in")
    columns = list(wanted or (name for name in present if name not in without))
    if not columns:
        raise ValueError(f"{path} has no columns beside those of --without; leave some in")
    return columns


def _group(text: str) -> tuple[str, list[str]]:
    """A group of columns, ``name=column,column``.

    Raises:
        ValueError: it has another form.
    """
    name, equals, columns = text.partition("=")
    if not (name and equals and columns):
        raise ValueError(f"--group {text!r} is not of the form name=column,column")
    return name, columns.split(",")


@command
def table_command(
    table: TableOptions,
    run: RunOptions,
    confirmation: ConfirmOptions,
    shown: ShownOptions,
    gate: GateOptions,
) -> None:
    """Explain a model's prediction for a row of a table by the row's features.

    Example: interplay table --model model.skops --data rows.csv --background train.csv --row 0
    """
    game = table.game()
    refuse_another(game, run.folder("table") / FILE)
    imputation = game.describe()["imputation"]
    console.print(
        f"{game.n_players} features of row {table.row}; {game.describe()['model']}; "
        f"{imputation['kind']} over {imputation['n_background']} of {imputation['of']} background "
        "rows",
        markup=False,
        highlight=False,
    )
    explain_and_write("table", table, game, (run, shown, gate), 2, confirmation)
