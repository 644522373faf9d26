"""shapiq: its result type, its games, and Interplay as one of its approximators.

- :func:`to_shapiq` (``explanation.to_shapiq``) makes ``shapiq.InteractionValues`` of an
  explanation, :func:`interaction_values` of :class:`interplay.Interactions`; :func:`interactions`
  is the way back.
- :class:`Interplay` is a ``shapiq.Approximator``.
- A ``shapiq.Game`` is a game as it is: ``interplay.explain(game)``.

What shapiq calls coalitions are masks here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from interplay.designs.measures import UNIFORM
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.explanation.extrapolation import OF_THE_MIDDLE
from interplay.extensions import INDICES, DecoderName, IndexName
from interplay.game import FunctionGame, Game
from interplay.toolkits._shapiq_values import (
    Approximator,
    Outputs,
    interaction_values,
    interactions,
    to_shapiq,
)

if TYPE_CHECKING:
    import shapiq

__all__ = ["Interplay", "Outputs", "interaction_values", "interactions", "to_shapiq"]

_DECODED = 5
"""The largest order of interaction that decoders look for if none is asked for."""


class Interplay(Approximator):
    """Interplay as an approximator of shapiq: alone, or in its explainers.

    ``approximator.approximate(budget, game)`` is ``interplay.explain`` of the game, and
    ``approximator.explanation`` then has what shapiq's result has no place for: the faithfulness,
    intervals, the verdict, the record.

    As for shapiq's own approximators, the budget counts distinct evaluations, the empty and the
    full input among them, the game is called once with all masks, and a budget of 2^n or more gives
    exact values. Masks are of all sizes alike, as Shapley values ask for, and uniform ones under
    indices of the Banzhaf family. About a tenth of the evaluations tell the faithfulness.

    Example:
        >>> import numpy as np
        >>> import interplay as ip
        >>> def game(masks):
        ...     return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]
        >>> approximator = ip.toolkits.shapiq.Interplay(3, 2, "k-SII")
        >>> approximator.approximate(8, game)[(1, 2)]
        -1.0

    Args:
        n: the number of players.
        max_order: the largest order of interaction.
        index: one of :data:`interplay.INDICES`, in upper or lower case.
        decoder: as for ``interplay.explain``.
        top_order: return only sets of ``max_order`` players.
        min_order: the smallest number of players of a set; 0 has the empty set too. shapiq's
            ``TabularExplainer`` needs the empty set.
        random_state: the seed: the same gives the same values, whatever was approximated before.
            ``None``: another one each time.

    Attributes:
        explanation: the last :class:`interplay.Explanation`; ``None`` before the first.

    Raises:
        ValueError: the index is unknown.
    """

    valid_indices: ClassVar[tuple[str, ...]] = tuple(INDICES.own)

    def __init__(
        self,
        n: int,
        max_order: int = 2,
        index: IndexName | str = "k-SII",
        *,
        decoder: DecoderName | str = "auto",
        top_order: bool = False,
        min_order: int = 0,
        random_state: int | None = None,
    ) -> None:
        super().__init__(
            n,
            max_order,
            INDICES.named(index),
            top_order=top_order,
            min_order=min_order,
            sampling_weights=np.ones(n + 1),  # of a sampler that is not used
            random_state=random_state,
            initialize_dict=False,
        )
        self.decoder = decoder
        self.explanation: Explanation | None = None

    def approximate(
        self, budget: int, game: Game | Any, *args: Any, **kwargs: Any
    ) -> shapiq.InteractionValues | Outputs:
        """Approximate the interaction values of a game.

        Args:
            budget: the most distinct evaluations.
            game: a ``shapiq.Game`` or any function of masks ``(m, n) bool``.
            *args: not used.
            **kwargs: not used.

        Raises:
            ValueError: the budget is below what the decoder needs; the message says what that is.
            GameError: the game failed; what was evaluated is in the error.
        """
        seed = self._random_state
        beyond = self.max_order > _DECODED and (self.n > 62 or budget < 1 << self.n)
        self.explanation = explain(
            FunctionGame(game, self.n),
            decoder=self.decoder,
            budget=budget,
            order=self.max_order if beyond else None,
            measure=UNIFORM if self.index in OF_THE_MIDDLE else None,
            random_state=int(self._rng.integers(1 << 62)) if seed is None else seed,
            batch_size=max(budget, 1),
            progress=False,
        )
        values = to_shapiq(
            self.explanation, self.index, order=self.max_order, min_order=self.min_order
        )
        first = values[0] if isinstance(values, Outputs) else values
        self._interaction_lookup = first.interaction_lookup
        return values
