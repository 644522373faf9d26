"""SHAP: explanations as ``shap.Explanation``, and an estimator that is a ``shap.Explainer``.

- :func:`to_shap` (``explanation.to_shap``) makes a ``shap.Explanation`` of an explanation.
- :class:`Explainer` is a ``shap.Explainer``, for SHAP's maskers, links, models and plots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from interplay._types import IntArray, Json, whole
from interplay.errors import MissingDependencyError
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.extensions import DecoderName
from interplay.toolkits._shap_game import MaskedRow, clusters_of, flips, region
from interplay.toolkits._shap_values import (
    INDICES,
    Row,
    Values,
    columns_of,
    completed,
    to_shap,
    wants_pairs,
    warn_of_unusable,
)

try:
    import shap
except ImportError as error:
    raise MissingDependencyError("shap", "shap", "interplay.toolkits.shap") from error

__all__ = ["IMAGE_REGIONS", "INDICES", "Explainer", "to_shap"]

IMAGE_REGIONS = 64
"""The most players of an image, if nothing else is asked for."""


class Explainer(shap.Explainer):
    """Interplay as an explainer of SHAP, with its maskers, models, links and plots.

    The values are Shapley values of the masked model, as those of ``shap.PermutationExplainer``
    and ``shap.ExactExplainer``; a masker's clustering does not constrain them (SHAP's
    ``PartitionExplainer`` has Owen values). Where ``max_evals`` covers all masks of the inputs that
    vary they are exact, and otherwise they have intervals.

    Example:
        >>> import numpy as np
        >>> import interplay as ip
        >>> def model(rows):
        ...     return rows[:, 0] * rows[:, 1] + rows[:, 2]
        >>> explainer = ip.toolkits.shap.Explainer(model, np.zeros((1, 3)))
        >>> result = explainer(np.array([[2.0, 3.0, 1.0]]))
        >>> print(result.values)
        [[3. 3. 1.]]
        >>> print(result.interplay[0].interactions("FSII", order=3).top(1))
        FSII up to order 3: 1 sets, strongest first
          +6.  Feature 0 × Feature 1

    Args:
        model: what ``shap.Explainer`` takes: a function of rows, a ``shap.models`` object, a
            pipeline or language model of transformers.
        masker: a masker, a background (array or DataFrame) or a tokenizer.
        link: the link, such as ``shap.links.logit``.
        linearize_link: whether the link is linearised around the background's values.
        output_names: the names of several outputs.
        feature_names: the names of the inputs.
        algorithm: for SHAP's own constructor, which gives it when it wraps a pipeline.
        seed: seed of the masks and the fit: the same seed gives the same values.
        decoder: the algorithm, as for :func:`interplay.explain`.
        order: the largest order of interaction, likewise.
        groups: the most players. If a row has more inputs, those of a cluster of the masker's
            clustering are one player, and its value is shared evenly among them. By default an
            image has :data:`IMAGE_REGIONS`, and for other rows each input is a player.

    Raises:
        ValueError: ``groups`` is below 1.
    """

    model: Any
    masker: Any

    def __init__(
        self,
        model: Any,
        masker: Any = None,
        link: Callable[..., Any] = shap.links.identity,
        *,
        linearize_link: bool = True,
        output_names: list[str] | None = None,
        feature_names: list[str] | list[list[str]] | None = None,
        algorithm: str = "auto",
        seed: int = 0,
        decoder: DecoderName | str = "auto",
        order: int | None = None,
        groups: int | None = None,
    ) -> None:
        super().__init__(
            model,
            masker,
            link=link,
            algorithm=algorithm,
            output_names=output_names,
            feature_names=feature_names,
            linearize_link=linearize_link,
        )
        if not isinstance(self.model, shap.models.Model):
            self.model = shap.models.Model(self.model)
        self.seed, self.decoder, self.order = seed, decoder, order
        self.groups = None if groups is None else whole("groups", groups, 1)

    def __call__(
        self,
        *args: Any,
        max_evals: int | Literal["auto"] = "auto",
        interactions: bool | int = 1,
        batch_size: int | Literal["auto"] = "auto",
        outputs: Any = None,
        fixed_context: None = None,
        silent: bool = False,
    ) -> shap.Explanation | list[shap.Explanation]:
        """Explain rows.

        Args:
            *args: the rows, or for models of several arguments the rows of each.
            max_evals: the most masks to evaluate for a row; the model sees each on the masker's
                whole background. ``"auto"``: the default ``budget`` of :func:`interplay.explain`.
            interactions: ``True`` or 2 for pairs, with the values of ``shap.ExactExplainer``: index
                ``"STII"``, half of it on either side of the diagonal. Larger interactions are at
                ``interplay`` of the result.
            batch_size: the most masks per call of the model. ``"auto"``: the masker's own.
            outputs: the numbers of the outputs to explain, or an operation such as
                ``shap.Explanation.argsort.flip[:2]``, which chooses by the values of the row.
            fixed_context: for calls that are written for ``shap.PartitionExplainer``; only ``None``
                is possible, since there is no context in which alone clusters are masked.
            silent: show no progress.

        Returns:
            What ``shap.Explainer`` returns, with ``lower_bounds``, ``upper_bounds`` and
            ``error_std`` (see :meth:`Explanation.to_shap`), and ``interplay``: the explanation of
            each row, or ``None`` for a row that equals its background. Slices do not have it.

        Warns:
            UserWarning: explanations of rows may not be used, as their verdicts say.

        Raises:
            ValueError: ``max_evals`` is below what the decoder needs, or another argument is not
                one of those above.
            GameError: the model failed.
        """
        if fixed_context is not None:
            raise ValueError(
                f"fixed_context={fixed_context!r} is for Owen values of shap.PartitionExplainer; "
                "leave it out, or explain near the intact input: ip.explain(measure=ip.Keep(0.9))"
            )
        rows: list[Row] = []
        results = super().__call__(
            *args,
            max_evals=max_evals,
            batch_size=batch_size,
            outputs=outputs,
            silent=silent,
            columns=[list(map(str, arg.columns)) for arg in args if hasattr(arg, "columns")],
            pairs=wants_pairs(interactions),
            rows=rows,
        )
        warn_of_unusable([row.explanation for row in rows])
        if not isinstance(results, list):
            return completed(results, rows, 0)
        return [completed(result, rows, number) for number, result in enumerate(results)]

    def explain_row(
        self,
        *row_args: Any,
        max_evals: int | Literal["auto"],
        batch_size: int,
        outputs: Any = None,
        silent: bool = False,
        columns: Sequence[list[str]] = (),
        pairs: bool = False,
        rows: list[Row] | None = None,
        **_: Any,
    ) -> Json:
        """Explain a row; SHAP's own ``__call__`` calls this."""
        masked = shap.utils.MaskedModel(
            self.model, self.masker, self.link, self.linearize_link, *row_args
        )
        player_of, inputs = self._players(masked)
        if pairs and max(map(len, inputs), default=1) > 1:
            raise ValueError(
                "the interaction of two groups of inputs cannot be shared among the inputs; leave "
                "out interactions=..., and take result.interplay[row].interactions('FSII', order=2)"
            )
        # the empty mask comes first: a link is linearised around its values
        empty = masked(flips(np.zeros((1, len(masked)), dtype=np.bool_)), zero_index=0)[0]
        full = masked(flips(player_of[None] >= 0))[0] if inputs else empty
        labels = self._output_names(row_args)
        selected = columns_of(full, outputs, named=labels is not None)
        if selected is not None:
            empty, full = empty[selected], full[selected]
        names = () if labels is None or not np.ndim(full) else tuple(labels[selected].tolist())
        explained, axes = None, 2 if pairs else 1
        shown = Values(*(np.zeros((len(masked),) * axes + np.shape(full)) for _ in range(2)))
        if inputs:
            is_text = getattr(self.masker, "text_data", False) and len(row_args) == 1
            game = MaskedRow(
                masked,
                player_of,
                self._names(row_args, inputs, len(masked), columns),
                np.array([full, empty]),
                selected,
                batch_size,
                names,
                tuple(self.masker.data_transform(*row_args)[0]) if is_text else (),
            )
            explained = self._explained(game, max_evals, silent)
            shown = Values.of(explained, "STII" if pairs else "SV").over_inputs(player_of, axes)
        if rows is not None:
            rows.append(Row(explained, shown, masked.mask_shapes, names))
        clustering = getattr(self.masker, "clustering", None)
        shapes = masked.mask_shapes
        if len(shapes) == 1:  # as PartitionExplainer has it, or an axis of one output is lost
            shapes = [shapes[0] + np.shape(full)]
        return {
            "values": shown.values.sum(axis=1) if pairs else shown.values,
            "expected_values": empty,
            "mask_shapes": shapes,
            "clustering": clustering if isinstance(clustering, np.ndarray) else None,
            "output_indices": np.arange(len(full)) if np.ndim(full) else None,
            "output_names": list(names) or None,
            "interplay": explained,
        }

    def _explained(
        self, game: MaskedRow, max_evals: int | Literal["auto"], silent: bool
    ) -> Explanation:
        try:
            return explain(
                game,
                decoder=self.decoder,
                budget=None if max_evals == "auto" else max_evals,
                order=self.order,
                measure="shapley",
                random_state=self.seed,
                progress=False if silent else None,
            )
        except ValueError as error:
            error.add_note("max_evals is the budget of a row.")
            raise

    def _players(self, masked: shap.utils.MaskedModel) -> tuple[IntArray, list[IntArray]]:
        """The player of each input, ``(M,)`` (-1 for those that never change), and its inverse."""
        varying = np.zeros(len(masked), dtype=np.bool_)
        varying[masked.varying_inputs()] = True
        is_image = getattr(self.masker, "image_data", False)
        most = IMAGE_REGIONS if self.groups is None and is_image else self.groups
        clusters = [np.array([player]) for player in np.flatnonzero(varying)]
        if most is not None and len(clusters) > most:
            clustering = getattr(self.masker, "clustering", None)
            if clustering is None:
                raise ValueError(
                    f"groups={most} joins inputs by the masker's clustering, and "
                    f"{type(self.masker).__name__} has none; take shap.maskers.Partition"
                )
            if callable(clustering):
                clustering = clustering(*masked.args)
            clusters = clusters_of(clustering, most)
        inputs = [cluster[varying[cluster]] for cluster in clusters if varying[cluster].any()]
        player_of = np.full(len(masked), -1)
        for player, cluster in enumerate(inputs):
            player_of[cluster] = player
        return player_of, inputs

    def _output_names(self, row_args: Sequence[Any]) -> npt.NDArray[np.str_] | None:
        """The names of all outputs of the model, ``(k,)``; ``None``: they have none."""
        names = self.output_names
        if names is None:
            names = getattr(self.model, "output_names", None)
            names = names(*row_args) if callable(names) else names
        return None if names is None else np.array([str(name) for name in names])

    def _names(
        self,
        row_args: Sequence[Any],
        inputs: Sequence[IntArray],
        n_inputs: int,
        columns: Sequence[list[str]],
    ) -> tuple[str, ...]:
        """The names of the players: those of their inputs, or regions of an image."""
        if getattr(self.masker, "image_data", False):
            return tuple(region(cluster, np.shape(row_args[0])) for cluster in inputs)
        names: Any = getattr(self.masker, "feature_names", None)
        if callable(names):
            names = names(*row_args)
        elif columns:
            names = columns
        elif self.feature_names is not None:
            names = self.feature_names
        names = [] if names is None else list(names)
        if names and isinstance(names[0], list | tuple):
            names = [name for part in names for name in part]
        if len(names) != n_inputs:
            names = [f"Feature {number}" for number in range(n_inputs)]
        return tuple(" + ".join(str(names[i]) for i in cluster) for cluster in inputs)

    def __str__(self) -> str:
        return "interplay.toolkits.shap.Explainer()"
