"""Explanation: a spectrum, how faithful it is, and where it came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from operator import index as whole_number
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from interplay._arrays import pack, unpack
from interplay._types import BoolArray, FloatArray, Json
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.confirmation.run import confirm
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.archive import read_archive, write_archive
from interplay.explanation.exports import export, exported
from interplay.explanation.faithfulness import Faithfulness, r2
from interplay.extensions import BackendName, IndexName
from interplay.fourier.interactions import Interactions
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game, fingerprint_of

FORMAT_VERSION = 1
FILE = "explanation.interplay"
"""The name of a saved explanation in a folder of its own."""
_ARRAYS = ("supports", "coefficients", "fit_masks", "fit_values", "held_masks", "held_values")
_MORE_ARRAYS = ("deviations", "surrogate_supports", "surrogate_coefficients")


@dataclass(frozen=True, eq=False)
class Ablations:
    """Masks and their values.

    Attributes:
        masks: ``(m, n) bool``.
        values: ``(m,)`` or ``(m, k)``.
    """

    masks: BoolArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.masks)

    def __add__(self, other: Ablations) -> Ablations:
        """These and then the others."""
        return Ablations(
            np.concatenate([self.masks, other.masks]), np.concatenate([self.values, other.values])
        )


@dataclass(frozen=True, eq=False)
class Explanation:
    """What an ablation study found.

    Attributes:
        spectrum: the sparse Fourier spectrum of the game.
        players: the players' names.
        faithfulness: R2 on held-out masks.
        provenance: what ran: versions, fingerprint, seeds, settings, counts, seconds. JSON.
        fit: the ablations that the spectrum was fitted to.
        held_out: the ablations that it was scored on.
        game: what was explained; ``None`` where the explanation was loaded, since it is not saved.
        confirmation: what :meth:`confirm` found, where it was put here
            (``dataclasses.replace(explanation, confirmation=...)``): saved and reported.
        surrogate: everything that was learned, where ``spectrum`` is only its strongest terms, for
            :meth:`predict`; else ``None``.
    """

    spectrum: Spectrum
    players: tuple[str, ...]
    faithfulness: Faithfulness
    provenance: Json
    fit: Ablations
    held_out: Ablations
    game: Game | None = field(default=None, repr=False)
    confirmation: Confirmation | None = None
    surrogate: Spectrum | None = None

    def predict(self, masks: npt.ArrayLike) -> FloatArray:
        """The value of each mask as far as it was learned: the surrogate's, or the spectrum's.

        Args:
            masks: ``(m, n) bool``, or one mask ``(n,)``.

        Returns:
            ``(m,)`` or ``(m, k)``; for one mask without the first axis.
        """
        return (self.spectrum if self.surrogate is None else self.surrogate).predict(masks)

    @property
    def surrogate_r2(self) -> float | None:
        """R2 of the surrogate on the held-out masks, the mean over outputs.

        That of the spectrum is in ``faithfulness``; the difference is what is lost on terms that
        nobody reads.
        """
        if self.surrogate is None:
            return None
        held = self.held_out
        return float(r2(held.values, self.surrogate.predict(held.masks)).mean())

    @property
    def ablations(self) -> Ablations:
        """All that went into it, each once: those of the fit, then those held out."""
        return self.fit if self.faithfulness.exact else self.fit + self.held_out

    def interactions(
        self, index: IndexName | str = "FSII", *, order: int | None = None
    ) -> Interactions:
        """The interactions under an index, with the players' names (see ``Spectrum.to``)."""
        return self.spectrum.to(index, order=order, players=self.players)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of several outputs; their numbers where the game gives none; else empty."""
        count = self.spectrum.n_outputs
        if count is None:
            return ()
        return tuple(
            self.provenance["game"]["description"].get("outputs") or map(str, range(count))
        )

    def confirm(
        self,
        top: int = 5,
        *,
        game: Game | None = None,
        index: IndexName | str = "FSII",
        order: int = 3,
        output: int = 0,
        budget: int | None = None,
        store: str | Path | None = None,
        random_state: int = 0,
        backend: BackendName | str | Backend = "local",
        batch_size: int | None = None,
        progress: bool | None = None,
    ) -> Confirmation:
        """Test the strongest interactions by fresh ablations that are made for them.

        Each is switched on and off in all patterns on the same few random backgrounds (see
        :mod:`interplay.confirmation`). The mean of its discrete derivative estimates its Banzhaf
        interaction index, whatever the ``index`` that it was chosen by, and is compared with the
        explanation's own ``spectrum.to("BII")``; the verdict's rule is that of
        ``interplay.confirmation.verdict.judge``. Where the budget covers all 2^n masks of a small
        game, all are made and the comparison is exact.

        Args:
            top: how many interactions of two or more players to test.
            game: what was explained; needed where the explanation was loaded.
            index: the index that they are the strongest of.
            order: its order.
            output: which output's, where there are several.
            budget: the most distinct masks, known ones included, from which the number of
                backgrounds follows; by default 500, or what six backgrounds need if that is more.
            store: as for ``explain``: what it holds is not asked for again.
            random_state: seed of the backgrounds and of the random sets.
            backend: as for ``explain``.
            batch_size: as for ``explain``.
            progress: as for ``explain``.

        Raises:
            ValueError: no game, or another one than was explained; a budget below what six
                backgrounds need; a bad ``top``, ``index``, ``order`` or ``output``.
            GameError: the game failed; what was evaluated is in the store.
            StoreError: the store cannot be used.
            KeyboardInterrupt: interrupted; what was evaluated is in the store.
        """
        if top < 1:
            raise ValueError(f"top={top} is below 1; give the number of interactions to test")
        one = self.spectrum.output(output)
        with Evaluator.of(
            self._explained(game),
            store=store,
            backend=backend,
            batch_size=batch_size,
            progress=progress,
        ) as evaluator:
            return confirm(
                evaluator,
                one,
                one.to(index, order=order, players=self.players).top(top, min_order=2),
                (self.ablations.masks, self.ablations.values),
                output=output,
                budget=None if budget is None else whole_number(budget),
                random_state=whole_number(random_state),
            )

    def _explained(self, game: Game | None) -> Game:
        """The game to ask, checked to be the one that was explained."""
        game = self.game if game is None else game
        if game is None:
            raise ValueError(
                "this explanation has no game to ask, since it was loaded from a file; "
                "give confirm(game=...) the game that was explained"
            )
        then = (self.provenance["game"]["fingerprint"], self.provenance["game"]["n_players"])
        now = (fingerprint_of(game), game.n_players)
        if then != now:
            raise ValueError(
                f"{game!r} has the fingerprint {now[0]} and {now[1]} players, but what was "
                f"explained had {then[0]} and {then[1]}; give the game that was explained"
            )
        return game

    def save(self, path: str | Path) -> Path:
        """Write to one file, which :func:`interplay.load` reads: JSON and plain arrays.

        Returns:
            The path.
        """
        document = {
            "format": FORMAT_VERSION,
            "n_players": self.spectrum.n_players,
            "players": self.players,
            "faithfulness": asdict(self.faithfulness),
            "provenance": self.provenance,
        }
        if self.confirmation is not None:
            document["confirmation"] = asdict(self.confirmation)
        named: tuple[npt.NDArray[Any], ...] = (
            self.spectrum.supports,
            self.spectrum.coefficients,
            pack(self.fit.masks),
            self.fit.values,
            pack(self.held_out.masks),
            self.held_out.values,
        )
        arrays = dict(zip(_ARRAYS, named, strict=True))
        if self.spectrum.deviations is not None:
            arrays["deviations"] = self.spectrum.deviations.astype(np.float32)
        if self.surrogate is not None:
            arrays["surrogate_supports"] = self.surrogate.supports
            arrays["surrogate_coefficients"] = self.surrogate.coefficients
        return write_archive(path, document, arrays)

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained page that opens from disk without a network.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="html")

    def to_json(self, path: str | Path) -> Path:
        """Write it as JSON that follows ``interplay.report.export.schema()``.

        Beside :meth:`save`, for other programs: with the interactions, without the ablations.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="json")

    def to_markdown(self, path: str | Path) -> Path:
        """Write it as Markdown, for people to read.

        Returns:
            The path.
        """
        return export([(self.title, self)], path, format="md")

    def _repr_html_(self) -> str:
        return exported([(self.title, self)], "notebook")

    @property
    def title(self) -> str:
        """What was explained, in a few words."""
        description = self.provenance["game"]["description"]
        by = f" by {description['by']}" if description.get("by") else ""
        lens = (description.get("lens") or "game").capitalize()
        return f"{lens} of {len(self.players)} players{by}"

    @property
    def view(self) -> Json:
        """How the lens wants its players to be shown (see ``PlannedGame.describe``)."""
        view: Json = self.provenance["game"]["description"].get("view") or {}
        return view


def load(path: str | Path) -> Explanation:
    """Read what :meth:`Explanation.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an explanation, or of another format version.
    """
    document, arrays = read_archive(path, FORMAT_VERSION, _ARRAYS, _MORE_ARRAYS)
    n_players = document["n_players"]
    scores = document["faithfulness"]
    confirmation = document.get("confirmation")
    return Explanation(
        spectrum=Spectrum(
            n_players, arrays["supports"], arrays["coefficients"], arrays.get("deviations")
        ),
        players=tuple(document["players"]),
        faithfulness=Faithfulness(**{**scores, "by_output": tuple(scores["by_output"])}),
        provenance=document["provenance"],
        fit=Ablations(unpack(arrays["fit_masks"], n_players), arrays["fit_values"]),
        held_out=Ablations(unpack(arrays["held_masks"], n_players), arrays["held_values"]),
        confirmation=None if confirmation is None else Confirmation.from_json(confirmation),
        surrogate=(
            Spectrum(n_players, arrays["surrogate_supports"], arrays["surrogate_coefficients"])
            if "surrogate_supports" in arrays
            else None
        ),
    )
