"""An explanation as files, and as the objects of other packages."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._arrays import pack
from interplay._types import FloatArray
from interplay.explanation.archive import write_archive
from interplay.explanation.exports import export, toolkit
from interplay.explanation.reading import Reading
from interplay.extensions import IndexName

FORMAT_VERSION = 1
FILE = "explanation.interplay"
"""The name of the file of an explanation that is saved in its own folder."""
_SINGLE = (1e-30, 1e30)
"""Deviations within these sizes are saved in single precision, in which others would become 0 or
infinite."""


class Files(Reading):
    """Everything that is written of an explanation."""

    def save(self, path: str | Path) -> Path:
        """Write the explanation to one file, of JSON and plain arrays. The game is not saved.

        :func:`interplay.load` reads it again. An existing file is replaced only when all is
        written.

        Returns:
            The path.

        Raises:
            ValueError: the explanation holds something that could not be read again. What
                ``explain`` returns does not: it refuses such games before it evaluates them.
        """
        document = {
            "format": FORMAT_VERSION,
            "n_players": self.spectrum.n_players,
            "players": self.players,
            "faithfulness": self.faithfulness.to_json(),
            "provenance": self.provenance,
        }
        if self.confirmation is not None:
            document["confirmation"] = asdict(self.confirmation)
        if self.circuits:
            document["circuits"] = [series.to_json() for series in self.circuits]
        if self.decisive:
            document["decisive"] = [chosen.to_json() for chosen in self.decisive]
        arrays: dict[str, npt.NDArray[Any]] = {
            "supports": self.spectrum.supports,
            "coefficients": np.asarray(self.spectrum.coefficients, dtype=np.float64),
            "fit_masks": pack(self.fit.masks),
            "fit_values": np.asarray(self.fit.values, dtype=np.float64),
            "held_masks": pack(self.held_out.masks),
            "held_values": np.asarray(self.held_out.values, dtype=np.float64),
        }
        if self.spectrum.deviations is not None and len(self.spectrum):
            arrays["deviations"] = _compact(self.spectrum.deviations)
        if self.surrogate is not None:
            arrays["surrogate_supports"] = self.surrogate.supports
            arrays["surrogate_coefficients"] = np.asarray(
                self.surrogate.coefficients, dtype=np.float64
            )
        if self.spectrum.ends is not None:
            arrays["ends"] = np.asarray(self.spectrum.ends, dtype=np.float64)
        if self.spectrum.end_doubts is not None:
            arrays["end_doubts"] = np.asarray(self.spectrum.end_doubts, dtype=np.float64)
        if self.held_predictions is not None:
            arrays["held_predictions"] = np.asarray(self.held_predictions, dtype=np.float64)
        if self.asked is not None:
            arrays["asked_masks"] = pack(self.asked.masks)
            arrays["asked_values"] = np.asarray(self.asked.values, dtype=np.float64)
        if self.cheaper is not None:
            arrays["cheaper_masks"] = pack(self.cheaper.masks)
            arrays["cheaper_values"] = np.asarray(self.cheaper.values, dtype=np.float64)
        return write_archive(path, document, arrays)

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained HTML page. It opens from disk and needs no network.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="html")

    def to_json(self, path: str | Path) -> Path:
        """Write the explanation as JSON that follows ``interplay.report.export.schema()``.

        This form is for other programs. Unlike :meth:`save`, it contains the interactions and not
        the ablations.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="json")

    def to_markdown(self, path: str | Path) -> Path:
        """Write the explanation as Markdown, for people to read.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="md")

    def to_svg(self, path: str | Path, view: str = "bars", **options: Any) -> Path:
        """Draw a view of the explanation as SVG. Needs matplotlib, the extra ``plot``.

        Args:
            path: the file.
            view: the name of a plot of :mod:`interplay.plots`: ``"bars"``, ``"waterfall"``,
                ``"force"``, ``"network"``, ``"upset"``, ``"text"`` and others.
            options: as for that plot, such as ``index`` and ``top``.

        Returns:
            The path.

        Raises:
            ValueError: there is no such view, or as the plot does.
            MissingDependencyError: matplotlib is not installed.
        """
        return self._drawn(path, view, "svg", options)

    def to_png(self, path: str | Path, view: str = "bars", **options: Any) -> Path:
        """Draw a view of the explanation as PNG, with 200 dots per inch, as :meth:`to_svg`.

        Args:
            path: the file.
            view: as for :meth:`to_svg`.
            options: likewise.

        Returns:
            The path.

        Raises:
            ValueError: as for :meth:`to_svg`.
            MissingDependencyError: matplotlib is not installed.
        """
        return self._drawn(path, view, "png", options)

    def _drawn(self, path: str | Path, view: str, kind: str, options: dict[str, Any]) -> Path:
        # plots are made to the right of this room
        draw = import_module("interplay.plots.files").draw
        drawn: Path = draw(self, path, view=view, format=kind, **options)
        return drawn

    def widget(self) -> Any:
        """The page as a widget of a notebook, interactive. Needs anywidget, the extra ``notebook``.

        In Jupyter, VS Code and Colab an explanation that ends a cell is shown like this by itself;
        in marimo too. Nothing is fetched from a network.

        Returns:
            An ``anywidget.AnyWidget``.

        Raises:
            MissingDependencyError: anywidget is not installed.
        """
        return import_module("interplay.report.widget").widget(self)

    def to_shapiq(self, index: IndexName | str | None = None, order: int | None = None) -> Any:
        """Make ``shapiq.InteractionValues``, which its plots draw. Needs the package shapiq.

        ``baseline_value`` is the measured :attr:`baseline`, and ``estimated`` is false if all masks
        were evaluated. shapiq has no place for intervals, the verdict and the players' names: give
        its plots ``feature_names=explanation.players``.

        Args:
            index: as for :meth:`interactions`.
            order: likewise.

        Returns:
            The ``shapiq.InteractionValues``. With k outputs an ``InteractionValuesBatch`` of k.

        Raises:
            ValueError: as for :meth:`interactions`.
            MissingDependencyError: shapiq is not installed, or older than 1.8.
        """
        return toolkit("shapiq").to_shapiq(self, index, order)

    def to_shap(self, index: str = "SV", *, data: npt.ArrayLike | None = None) -> Any:
        """Make a ``shap.Explanation`` of one instance. Needs the package shap.

        ``base_values`` is the measured :attr:`baseline`, so that values add up to :attr:`full`.
        ``lower_bounds`` and ``upper_bounds`` are the 90 % intervals, ``error_std`` the standard
        deviations: zero if all masks were evaluated, and ``None`` if the decoder has none. SHAP
        has no place for larger interactions, the verdict and the provenance.

        Args:
            index: ``"SV"``: Shapley values, ``(n,)``. ``"k-SII"`` and ``"STII"``: pairs,
                ``(n, n)``, with half a pair's interaction on either side of the diagonal and
                single players on it; each row adds up to a Shapley value. ``"k-SII"`` is what
                ``shap.TreeExplainer`` has, ``"STII"`` what ``shap.ExactExplainer`` has.
            data: what SHAP shows beside the names, one entry for each player, such as the row that
                was explained. By default the segments of a text, and none for another game.

        Returns:
            The ``shap.Explanation``. With k outputs its arrays have one more axis, and so have its
            ``base_values``; where there are as many outputs as players, SHAP's slices of it lose
            the players' names.

        Raises:
            ValueError: the index is another one, or the empty input was not measured.
            MissingDependencyError: shap is not installed.
        """
        return toolkit("shap").to_shap(self, index, data=data)

    def to_captum(self, index: str = "SV") -> Any:
        """Make captum's ``LLMAttributionResult``, which its plots draw. Needs the package captum.

        With several outputs, such as the tokens of ``Response(reduction="token")``, each is a row
        of ``token_attr``, which ``plot_token_attr`` draws. ``seq_attr``, which ``plot_seq_attr``
        draws, has the sum over the tokens if these are scored by log-probability, and NaN if the
        outputs add up to nothing. A segment's text that repeats is numbered, ``the (2)``, since
        ``seq_attr_dict`` has one entry for each text. captum has no place for interactions,
        intervals and the verdict.

        Args:
            index: ``"SV"``, Shapley values, or ``"BV"``, Banzhaf values.

        Raises:
            ValueError: the index is another one.
            MissingDependencyError: captum is not installed.
        """
        return toolkit("captum").to_captum(self, index)

    def to_inseq(self, index: str = "SV") -> Any:
        """Make inseq's ``FeatureAttributionOutput`` of one sequence. Needs the package inseq.

        The players are the source and the outputs the target, with a value for each pair. Step
        scores have the measured ends of each output, its R2, and a token's probability; ``low`` and
        ``high`` among the sequence scores are the 90 % intervals, if there are any, and ``info``
        has the faithfulness. inseq has no place for interactions and the verdict.

        Args:
            index: ``"SV"``, Shapley values, or ``"BV"``, Banzhaf values.

        Raises:
            ValueError: the index is another one.
            MissingDependencyError: inseq is not installed.
        """
        return toolkit("inseq").to_inseq(self, index)

    def to_card(self, path: str | Path) -> Path:
        """Write an explanation card: what was asked, how well, and what must not be concluded.

        It says where each fact is recorded that four texts on records and transparency ask about
        (docs/cards.md), and makes no legal claim.

        Args:
            path: the file: HTML if it ends in ``.html``, else Markdown.

        Returns:
            The path.
        """
        kind = "card-html" if Path(path).suffix.lower() == ".html" else "card"
        return export([(self.title, self)], path, format=kind)

    def log(self, to: str, *, name: str = "explanation") -> str:
        """Write the explanation into the active run of an experiment log, or into a new one.

        Parameters, scores, hashes, and the page, the card, JSON and the saved explanation as files.
        The files hold the input; no log holds a key. See :mod:`interplay.toolkits.logs`.

        Args:
            to: ``"mlflow"``, ``"wandb"`` or ``"trackio"``; the package must be installed.
            name: stands before what is logged; another one for each explanation in a run.

        Returns:
            The id of the run.
        """
        run_id: str = toolkit("logs").log(self, to, name=name)
        return run_id


def _compact(deviations: FloatArray) -> npt.NDArray[np.floating[Any]]:
    """Deviations in single precision, if it holds numbers of their size."""
    largest = np.abs(deviations).max(axis=(0, -1), initial=0.0)  # of each output
    low, high = _SINGLE
    single = bool(((largest == 0.0) | ((low <= largest) & (largest <= high))).all())
    return deviations.astype(np.float32 if single else np.float64)
