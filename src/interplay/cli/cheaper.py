"""A cheaper model on the prompt of `interplay text`, which saves ablations of the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import typer

from interplay import text as lens
from interplay.cli.options import choice
from interplay.text.models import DTYPES


@dataclass(frozen=True)
class CheaperOptions:
    """The cheaper model, and how often it is asked."""

    PANEL: ClassVar[str] = "Cheaper model"

    cheaper: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub name of a cheaper model that is asked first, and more often. Where "
            "cross-validation shows that it helps, it saves ablations of --model; else nothing "
            "changes."
        ),
    ] = None
    cheaper_layers: Annotated[
        int | None,
        typer.Option(help="The same, with so many layers of the cheaper model, or of --model."),
    ] = None
    cheaper_dtype: Annotated[
        str | None,
        typer.Option(help="The same, with the cheaper model, or --model, in this dtype."),
    ] = None
    cheaper_budget: Annotated[
        int | None,
        typer.Option(help="Its most ablations; by default 6 n log2 n, at most 3,000."),
    ] = None

    def settings(self, prompt: Any, game: lens.TextGame | lens.ApiGame) -> dict[str, Any]:
        """The arguments of ``explain`` for the cheaper game; none if it was not asked for.

        Args:
            prompt: the options that ``game`` was made of.
            game: the game of the prompt. The cheaper one scores the same answers.

        Raises:
            ValueError: options that do not go together, or a model that cannot be cut.
        """
        asked = (self.cheaper, self.cheaper_layers, self.cheaper_dtype)
        if asked == (None, None, None):
            if self.cheaper_budget is not None:
                raise ValueError(
                    "--cheaper-budget was given without a cheaper model; give --cheaper, "
                    "--cheaper-layers or --cheaper-dtype"
                )
            return {}
        if self.cheaper_dtype is not None:
            choice("--cheaper-dtype", self.cheaper_dtype, DTYPES)
        if prompt.base_url is not None and self.cheaper is None:
            raise ValueError(
                "the model behind --base-url cannot be made cheaper from here; name a local one by "
                "--cheaper"
            )
        if self.cheaper is None and self.cheaper_dtype is None and isinstance(game, lens.TextGame):
            model, tokenizer = game.model, game.tokenizer
        else:
            model, tokenizer = replace(
                prompt,
                base_url=None,
                model=self.cheaper or prompt.model,
                dtype=self.cheaper_dtype or prompt.dtype,
            ).loaded()
        if self.cheaper_layers is not None:
            model = lens.early_exit(model, self.cheaper_layers)
        same = replace(prompt, base_url=None)
        if isinstance(game, lens.TextGame) and isinstance(game.targets[0], lens.Response):
            same = replace(same, response=game.targets[0].text)  # its own answer, if none was given
        return {
            "cheaper": same.game(loaded=(model, tokenizer)),
            "cheaper_budget": self.cheaper_budget,
        }
