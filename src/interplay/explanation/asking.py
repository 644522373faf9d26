"""What an explanation asks of its game: confirmations, and sets that decide the answer."""

from __future__ import annotations

import warnings
from dataclasses import replace
from operator import index as whole_number
from pathlib import Path
from typing import Any, Self

from interplay._arrays import as_columns
from interplay._types import whole
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.confirmation.design import DEFAULT_BUDGET, Cost, cost_of
from interplay.confirmation.run import confirm
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.deciding import BUDGET, decide, refused
from interplay.explanation.decisive import DecisiveSet, Kind
from interplay.explanation.question import question_of
from interplay.explanation.reading import Reading
from interplay.explanation.truth import joined, to_ask
from interplay.explanation.verdict import claims_of
from interplay.extensions import BackendName, IndexName
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import keys
from interplay.game import Game, fingerprint_of


class Asking(Reading):
    """Questions to the game that was explained."""

    def confirm(
        self,
        top: int = 5,
        *,
        game: Game | None = None,
        index: IndexName | str | None = None,
        order: int | None = None,
        min_order: int = 2,
        output: int | None = None,
        budget: int | None = None,
        store: str | Path | None = None,
        random_state: int = 0,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> Confirmation:
        """Test the strongest interactions by fresh ablations, findings before others.

        The players of each interaction are removed in all patterns, on the same few random
        backgrounds (see :mod:`interplay.confirmation.patterns`). These are masks of the
        explanation's :attr:`measure`. The mean of the discrete derivative over them is an
        interaction index, and is compared with what the spectrum predicts for it: under
        ``"shapley"`` the Shapley interaction index, ``interactions("SII")``; under ``"uniform"``
        the Banzhaf interaction index, ``interactions("BII")``; under another measure the same mean
        over its masks. This is so whatever the ``index`` by which the interactions were chosen.
        ``interplay.confirmation.verdict.judge`` has the rule of the verdict. If the budget covers
        all 2^n masks of a small game, all of them are evaluated and the comparison is exact.

        Args:
            top: how many interactions to test.
            game: the game that was explained. A loaded explanation needs it.
            index: the interaction index by which the strongest are chosen; by default
                :attr:`index`.
            order: the largest number of players in an interaction; by default that of the tables
                that the run showed, :attr:`order`, else 3, as ``print(explanation)`` shows.
            min_order: the smallest number; 1: single players are tested too.
            output: the number of the output, if there are several; by default the one that reports
                begin with, or the first.
            budget: the most masks to evaluate, beyond those of the explanation. It determines the
                number of backgrounds. The default is what the explanation itself took, but at most
                500; of the ``top`` interactions it then tests as many as that pays for, and warns
                if these are not all.
            store: as for ``explain``. Stored masks are not evaluated again.
            random_state: seed of the backgrounds and of the random sets.
            backend: as for ``explain``.
            batch_size: as for ``explain``.
            progress: as for ``explain``.

        Returns:
            The interactions with their verdicts, strongest first.

        Raises:
            ValueError: there is no game, or it is not the one that was explained; the budget is
                below what six backgrounds need; or ``top``, ``index``, ``order`` or ``output`` is
                out of range.
            GameError: the game failed. What was evaluated is in the store.
            StoreError: the store cannot be used.
            KeyboardInterrupt: the run was interrupted. What was evaluated is in the store.
        """
        output = self._shown(output)
        explained, spectrum = self._explained(game), self.spectrum.output(output)
        claims, cost = self._claims(top, index, (min_order, order), output, budget, random_state)
        if budget is None and cost.n_left_out:
            warnings.warn(f"{cost} Give confirm(budget=...) to test more.", stacklevel=2)
        with Evaluator.of(
            explained,
            store=store,
            backend=backend,
            batch_size=batch_size,
            progress=progress,
        ) as evaluator:
            return confirm(
                evaluator,
                spectrum,
                claims,
                (self.ablations.masks, self.ablations.values),
                output=output,
                budget=cost.budget,
                random_state=whole_number(random_state),
                measure=self.measure,
                min_order=min_order,
            )

    def confirmation_cost(
        self,
        top: int = 5,
        *,
        index: IndexName | str | None = None,
        order: int | None = None,
        min_order: int = 2,
        output: int | None = None,
        budget: int | None = None,
        random_state: int = 0,
    ) -> Cost:
        """What :meth:`confirm` with the same arguments will evaluate. Nothing is evaluated.

        Raises:
            ValueError: as for :meth:`confirm`.
        """
        shown = self._shown(output)
        return self._claims(top, index, (min_order, order), shown, budget, random_state)[1]

    def _shown(self, output: int | None) -> int:
        """The output that is asked about."""
        return (self.first_output or 0) if output is None else output

    def _claims(
        self,
        top: int,
        index: IndexName | str | None,
        orders: tuple[int, int | None],
        output: int,
        budget: int | None,
        random_state: int,
    ) -> tuple[Interactions, Cost]:
        """The interactions that a confirmation tests, and what that costs."""
        if whole("top", top) < 1:
            raise ValueError(f"top={top} is below 1; give the number of interactions to test")
        index = index or self.index
        fewest, most = whole("min_order", orders[0], 1), orders[1]
        if most is None:  # that of the tables, in which the strongest stand
            most = max(fewest, self.shown_order)
        interactions = self.spectrum.output(output).to(index, order=most, players=self.players)
        spread = self.verdict.ranges[output]
        claims = claims_of(interactions, top, min_order=fewest, spread=spread)
        known = self.ablations.masks
        seed = whole_number(random_state)
        if budget is None:
            spent = self.provenance["budget"]["spent"]
            return cost_of(claims, known, min(DEFAULT_BUDGET, spent), seed, self.measure)
        limit = whole_number(budget)
        chosen, cost = cost_of(claims, known, limit, seed, self.measure, fewer=False)
        return chosen, cost

    def necessary(
        self,
        *,
        threshold: float | None = None,
        output: int | None = None,
        game: Game | None = None,
        budget: int = BUDGET,
        time_limit: float = 10.0,
        store: str | Path | None = None,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> DecisiveSet:
        """Find the smallest set of players without which the answer changes, and ask the game.

        The answer changes where the value passes the threshold. The spectrum proposes the smallest
        set, with a proof where the optimiser has one. The game is asked about it. Where it says
        otherwise, the next best sets of that size are tried, then larger ones. Then each player is
        left out of the set alone, to see whether it is needed.

        Example:
            >>> import interplay as ip
            >>> game = ip.FunctionGame(lambda masks: 1.0 * masks[:, :2].any(axis=1), n_players=3)
            >>> explanation = ip.explain(game)
            >>> explanation.necessary().players, explanation.sufficient().players
            ((0, 1), (0,))

        Args:
            threshold: the value at which the answer changes. By default 0 for a margin or
                log-odds, else the middle between the values of the full and the empty input.
            output: the number of the output, if there are several; by default the one that reports
                begin with, or the first.
            game: the game that was explained. A loaded explanation needs it, or only predicts,
                except where the run itself measured the sets.
            budget: the most masks to evaluate, beyond those of the explanation.
            time_limit: seconds for each size that the optimiser tries.
            store: as for ``explain``. Stored masks are not evaluated again.
            backend: as for ``explain``.
            batch_size: as for ``explain``.
            progress: as for ``explain``.

        Returns:
            The set, with what was predicted, measured and proven; or why there is none, as for an
            explanation that is not usable.

        Raises:
            ValueError: the game is not the one that was explained, or an argument is out of range.
            GameError: the game failed. What was evaluated is in the store.
            StoreError: the store cannot be used.
            KeyboardInterrupt: the run was interrupted. What was evaluated is in the store.
        """
        settings = {"store": store, "backend": backend, "batch_size": batch_size}
        settings["progress"] = progress
        limits = (whole("budget", budget, 0), time_limit)
        return self._decisive("necessary", threshold, output, game, limits, settings)

    def sufficient(
        self,
        *,
        threshold: float | None = None,
        output: int | None = None,
        game: Game | None = None,
        budget: int = BUDGET,
        time_limit: float = 10.0,
        store: str | Path | None = None,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> DecisiveSet:
        """Find the smallest set of players that alone keeps the answer, and ask the game.

        All others are removed. Everything else is as for :meth:`necessary`.

        Args:
            threshold: as for :meth:`necessary`, like the arguments below.
            output: see there.
            game: see there.
            budget: see there.
            time_limit: see there.
            store: see there.
            backend: see there.
            batch_size: see there.
            progress: see there.

        Returns:
            See there.

        Raises:
            ValueError: as for :meth:`necessary`.
            GameError: likewise.
            StoreError: likewise.
            KeyboardInterrupt: likewise.
        """
        settings = {"store": store, "backend": backend, "batch_size": batch_size}
        settings["progress"] = progress
        limits = (whole("budget", budget, 0), time_limit)
        return self._decisive("sufficient", threshold, output, game, limits, settings)

    def _decisive(
        self,
        kind: Kind,
        threshold: float | None,
        output: int | None,
        game: Game | None,
        limits: tuple[int, float],
        settings: dict[str, Any],
    ) -> DecisiveSet:
        output = self._shown(output)
        question = question_of(
            kind,
            (self.spectrum, self.players, self.ends),
            self.provenance["game"]["description"],
            self.verdict,
            output,
            threshold,
        )
        if question.refusal:
            return refused(question, limits[0])
        used = self.ablations
        values = as_columns(used.values)[:, output].tolist()
        known = dict(zip(keys(used.masks), values, strict=True))
        if game is None and self.game is None:
            return decide(question, known, None, *limits)
        with Evaluator.of(self._explained(game), **settings) as evaluator:
            return decide(question, known, lambda m: evaluator.values(m)[:, output], *limits)

    def with_truth_tables(
        self,
        top: int = 3,
        *,
        game: Game | None = None,
        budget: int = 12,
        store: str | Path | None = None,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> Self:
        """Ask the game what the truth tables of the strongest interactions lack.

        A truth table has the value of the whole input with two or three players kept in all
        patterns. Reports show it, and take their sentences from it; without this their values are
        predictions, unless the run happened to evaluate them. After the tables the strongest single
        players are left out, one at a time, if the budget allows.

        Example:
            >>> import interplay as ip
            >>> game = ip.FunctionGame(lambda masks: masks[:, 0] | masks[:, 1], n_players=9)
            >>> explanation = ip.explain(game, budget=100).with_truth_tables()
            >>> explanation.asked is None or len(explanation.asked) <= 12
            True

        Args:
            top: the most tables, and the most single players.
            game: the game that was explained. A loaded explanation needs it.
            budget: the most evaluations. Tables that do not fit are left out.
            store: as for ``explain``. Stored masks are not evaluated again.
            backend: as for ``explain``.
            batch_size: as for ``explain``.
            progress: as for ``explain``.

        Returns:
            The explanation with what was asked in ``asked``; as it was if there is nothing to ask,
            as for an explanation without findings.

        Raises:
            ValueError: the game is not the one that was explained, or there is none.
            GameError: the game failed. What was evaluated is in the store.
            StoreError: the store cannot be used.
            KeyboardInterrupt: the run was interrupted. What was evaluated is in the store.
        """
        explained = self._explained(game)
        masks = to_ask(self, whole("budget", budget, 0), whole("top", top, 1))
        if not len(masks):
            return self
        with Evaluator.of(
            explained, store=store, backend=backend, batch_size=batch_size, progress=progress
        ) as evaluator:
            values = evaluator.values(masks).reshape(len(masks), *self.fit.values.shape[1:])
        return replace(self, asked=joined(self.asked, masks, values))

    def _explained(self, game: Game | None) -> Game:
        """The game to evaluate, after a check that it is the one that was explained."""
        game = self.game if game is None else game
        if game is None:
            raise ValueError(
                "this explanation has no game to evaluate, since it was loaded from a file; "
                "give game=..., the game that was explained"
            )
        recorded = (self.provenance["game"]["fingerprint"], self.provenance["game"]["n_players"])
        present = (fingerprint_of(game), game.n_players)
        if recorded != present:
            raise ValueError(
                f"{game!r} has the fingerprint {present[0]} and {present[1]} players, but the game "
                f"that was explained had {recorded[0]} and {recorded[1]}; give that game"
            )
        return game
