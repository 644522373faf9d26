"""``interplay image``: the image lens on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from interplay import images as lens
from interplay.cli.folders import refuse_another
from interplay.cli.lens import explain_and_write
from interplay.cli.options import (
    ConfirmOptions,
    GateOptions,
    RunOptions,
    ShownOptions,
    choice,
    command,
    existing,
)
from interplay.cli.tables import console
from interplay.cli.trust import TYPED, Trust
from interplay.explanation.explanation import FILE
from interplay.images.classifiers import SCORES
from interplay.images.fills import NAMES


@dataclass(frozen=True)
class ImageOptions:
    """The image, the classifier, the regions, and what stands in for them."""

    image: Annotated[
        Path, typer.Argument(callback=existing, dir_okay=False, help="The image: PNG, JPEG, ...")
    ]
    # `model` would be the name of a language model, or its folder, in a recipe
    model_file: Annotated[
        Path,
        typer.Option(
            "--model",
            callback=existing,
            dir_okay=False,
            help="An .onnx file of an image classifier. Pickles are never loaded.",
        ),
    ]
    labels: Annotated[
        Path | None,
        typer.Option(
            callback=existing, dir_okay=False, help="A text file: the name of a class on each line."
        ),
    ] = None
    target: Annotated[
        str | None,
        typer.Option(
            help="The class that is explained, by its name, or its number without --labels; by "
            "default the one with the largest score."
        ),
    ] = None
    against: Annotated[
        str | None,
        typer.Option(help="A class whose score is subtracted: why --target and not this."),
    ] = None
    score: Annotated[
        str, typer.Option(help="logit, prob, logprob, or margin: the logit minus the next one's.")
    ] = "logit"
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="The model gives probabilities, not logits.")
    ] = False
    grid: Annotated[
        str, typer.Option(help="The regions: rows and columns of a grid.", metavar="RxC")
    ] = "4x4"
    superpixels: Annotated[
        int | None,
        typer.Option(help="Instead of a grid about so many regions of similar colour."),
    ] = None
    fill: Annotated[
        str,
        typer.Option(
            help=f"What stands in for removed regions: {', '.join(NAMES)} (noise is drawn anew, "
            "four times for each ablation)."
        ),
    ] = "mean"
    mean: Annotated[
        list[float] | None,
        typer.Option(
            help="What the classifier subtracts from red, green and blue, in units of 0 to 255: "
            "given three times, or once for all; by default that of ImageNet."
        ),
    ] = None
    std: Annotated[list[float] | None, typer.Option(help="What it divides by then, likewise.")] = (
        None
    )

    def game(self, trust: Trust = TYPED, /) -> lens.ImageGame:
        """The image as a game.

        Raises:
            ValueError: a file that cannot be read, no such class, or regions that do not fit.
            MissingDependencyError: pillow or onnxruntime is not installed.
        """
        choice("--score", self.score, SCORES)
        choice("--fill", self.fill, NAMES)
        labels = None
        if self.labels is not None:
            labels = self.labels.read_text(encoding="utf-8").splitlines()
        model = lens.from_onnx(
            self.model_file,
            mean=_colour("--mean", self.mean),
            std=_colour("--std", self.std),
            labels=labels,
            score=self.score,
            probabilities=self.probabilities,
        )
        return lens.ImageGame(
            model,
            self.image,
            regions=self._regions(),
            fill=self.fill,
            target=self._output(self.target, labels is None),
            against=self._output(self.against, labels is None),
        )

    def _regions(self) -> int | tuple[int, int]:
        if self.superpixels is not None:
            return self.superpixels
        rows, _, columns = self.grid.lower().partition("x")
        if not (rows.isdecimal() and columns.isdecimal()):
            raise ValueError(f"--grid {self.grid} is not of the form 4x4: rows, then columns")
        return int(rows), int(columns)

    def _output(self, name: str | None, is_number: bool) -> str | int | None:
        return int(name) if name is not None and is_number and name.isdecimal() else name


def _colour(option: str, given: list[float] | None) -> tuple[float, float, float] | None:
    """A number for each channel.

    Raises:
        ValueError: neither one nor three were given.
    """
    if not given:
        return None
    if len(given) not in (1, 3):
        raise ValueError(f"{option} was given {len(given)} times; give it once or three times")
    red, green, blue = given if len(given) == 3 else given * 3
    return red, green, blue


@command
def image_command(
    image: ImageOptions,
    run: RunOptions,
    confirmation: ConfirmOptions,
    shown: ShownOptions,
    gate: GateOptions,
) -> None:
    """Explain an image classifier's score by the regions of the image.

    Example: interplay image photo.png --model classifier.onnx --labels classes.txt --grid 4x6
    """
    game = image.game()
    refuse_another(game, run.folder("image") / FILE)
    described = game.describe()
    console.print(
        f"{game.n_players} regions, {described['by']}; {described['model']}, "
        f"{game.outputs[0]}; fill {image.fill}",
        markup=False,
        highlight=False,
    )
    explain_and_write("image", image, game, (run, shown, gate), 2, confirmation)
