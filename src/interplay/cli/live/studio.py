"""The studio: prompts that are typed in a browser become runs, which are watched while they run."""

from __future__ import annotations

import re
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from interplay._types import Json, visible
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.maintenance import games
from interplay.audit.checks import MATCH
from interplay.cli.ends import with_answers
from interplay.cli.folders import write
from interplay.cli.live.answers import Answers
from interplay.cli.live.drafts import INPUTS, OF_MODEL, Draft, of_studio
from interplay.cli.live.looks import facts, growing, look
from interplay.cli.live.run import Run
from interplay.cli.live.session import Job, Session
from interplay.cli.options import STORE, ShownOptions, with_tables
from interplay.cli.recipes import read_recipe, store_of
from interplay.cli.text import TextOptions
from interplay.cli.trust import TYPED, UNTRUSTED
from interplay.errors import StoreError
from interplay.explanation.console import ORDER
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE
from interplay.explanation.loading import load
from interplay.explanation.plan import plan
from interplay.fourier.masks import end_masks
from interplay.game import Game, costs, fingerprint_of
from interplay.text.answers import ends
from interplay.text.game import TextGame

_NAME = re.compile(r"(\d{3,9})-[a-z0-9-]{1,60}")
_LARGER, _TIMED = 4, 12
_ENDS = 2
"""The ablations that every run begins with: everything and nothing."""


class Studio:
    """One model, the prompts that are typed for it, and their runs.

    Args:
        out: the folder of the runs.
        model: options that say which model it is.
        session: does what takes time.
        read_only: show the runs; load no model and evaluate nothing.
        loaded: the model and its tokenizer, where they are loaded already.
    """

    def __init__(
        self,
        out: Path,
        model: TextOptions,
        session: Session,
        *,
        read_only: bool = False,
        loaded: tuple[Any, Any] | None = None,
    ) -> None:
        self.out, self.session, self.read_only = out, session, read_only
        self._model = model
        self._loaded = (None, None) if read_only else loaded or model.loaded()
        self._drafts = TemporaryDirectory(prefix="interplay-studio-")
        self._runs: dict[str, Run] = {}
        self._facts: dict[str, tuple[int, Json]] = {}
        self._timed = 0.0, 0.0  # tokens of the run that was timed, and its seconds
        self._lock = threading.Lock()

    @property
    def model_name(self) -> str:
        """The model, without the path of its folder."""
        return visible(Path(self._model.model).name)

    def close(self) -> None:
        """Remove what was only typed."""
        self._drafts.cleanup()

    def players(self, draft: Draft) -> Json:
        """The prompt cut into players. Nothing is evaluated."""
        self._check()
        pieces = draft.pieces(self._loaded[1])
        n_players = sum(player is not None for _, player in pieces)
        return {"pieces": pieces, "n_players": n_players}

    def plan(self, draft: Draft) -> Json:
        """What a run of a draft will evaluate and cost: in the thread that evaluates.

        The time is measured on ablations of the first draft, and of one that is much larger than
        those before it, and scaled for the others.
        """
        self._check()
        draft.pieces(self._loaded[1])
        options = draft.options(self._model, Path(self._drafts.name))
        game = options.game(TYPED, self._loaded)
        planned = plan(game, budget=draft.budget, warm_up=False, progress=False)
        tokens = planned.tokens or 0.0
        if tokens > _LARGER * self._timed[0]:
            self._timed = tokens, tokens * _seconds_of_a_token(game)
        return {
            "ablations": planned.n_stored + planned.n_new,
            "held_out": planned.n_held_out,
            "n_players": planned.n_players,
            "decoder": planned.decoder,
            "tokens": tokens,
            "seconds": tokens * self._timed[1] / self._timed[0] if self._timed[0] else None,
            "steps": growing(draft.budget, planned.n_players),
        }

    def run(self, draft: Draft) -> Job:
        """Explain a draft: a job, whose folder and results are there as they come.

        A folder of the same text that has ablations and no explanation yet is gone on with.

        Raises:
            ValueError: the prompt cannot be explained.
            BusyError: too many runs wait already.
        """
        self._check()
        draft.pieces(self._loaded[1])
        with self._lock:
            there = self._names()
            busy = self._under_way()
            unfinished = [
                name
                for name in there
                if name not in busy
                and not (self.out / name / FILE).exists()
                and draft.is_in(self.out / name / INPUTS)
            ]
            numbers = [int(name.partition("-")[0]) for name in [*there, *busy]]
            name = f"{max(numbers, default=0) + 1:03d}-{draft.name}"
            name = unfinished[0] if unfinished else name

            def run(job: Job) -> str:
                folder = self.out / name
                folder.mkdir(parents=True, exist_ok=name in unfinished)
                try:
                    options = draft.options(self._model, folder / INPUTS)
                    return self._explain(name, options, draft.budget, job)
                finally:  # nothing is left of a run that ended before anything was there
                    if not (folder / FILE).exists() and _n_stored(folder) <= _ENDS:
                        shutil.rmtree(folder, ignore_errors=True)

            return self.session.submit("run", f"Explain {name}", run, name)

    def _under_way(self) -> set[str]:
        """The names of the runs that wait or run."""
        jobs = self.session.state()["jobs"]
        return {job["where"] for job in jobs if job["state"] in ("waiting", "running")} - {""}

    def _explain(self, name: str, options: TextOptions, budget: int | None, job: Job) -> str:
        """Explain at growing budgets, and write each explanation.

        The masks of a smaller budget are among those of a larger one, so that nothing is evaluated
        twice, and the last explanation is that of `interplay text` with the whole budget.
        """
        folder = self.out / name
        game = options.game(TYPED, self._loaded)
        recipe = asdict(replace(options, language=game.masked.language))
        assert isinstance(game, TextGame)
        with Evaluator.of(game, store=folder / STORE, progress=False) as evaluator:
            described = ends(game, evaluator.values(end_masks(game.n_players)))
        answers = {
            "own_answer": described.own_answer,
            "scored": [answer.to_json() for answer in described.answers],
        }
        steps = growing(budget, game.n_players)
        curve: list[Json] = []
        for number, most in enumerate(steps, 1):
            job.progress = {"step": f"look {number} of {len(steps)}"}
            explanation = explain(game, budget=most, store=folder / STORE, progress=False)
            explanation = ShownOptions().recorded(with_answers(explanation, answers), ORDER)
            if number == len(steps) and not job.stop.requested:
                with suppress(KeyboardInterrupt):  # a stop: the explanation is there without them
                    explanation = with_tables(explanation, store=folder / STORE, progress=False)
            write(explanation, folder, "text", recipe)
            score = explanation.faithfulness
            curve.append(
                {
                    "ablations": explanation.provenance["budget"]["spent"],
                    "r2": score.r2 if score.known else None,
                    "low": score.low if score.known else None,
                    "high": score.high if score.known else None,
                }
            )
            last = number == len(steps) or job.stop.requested
            looked = look(explanation) | {"name": name, "curve": curve, "last": last}
            self.session.events.publish("look", looked)
            if job.stop.requested:
                spent = explanation.provenance["budget"]["spent"]
                return f"Stopped at {spent:,} ablations; what there is, is explained and stored."
        return f"{explanation.faithfulness}, by {curve[-1]['ablations']:,} ablations."

    def history(self) -> Json:
        """The runs of the folder, the newest first."""
        entries, busy = list[Json](), self._under_way()
        for name in sorted(self._names(), reverse=True):
            file = self.out / name / FILE
            if not file.is_file():
                n_stored = 0 if name in busy else _n_stored(self.out / name)
                if n_stored:
                    entries.append({"name": name, "unfinished": n_stored})
                continue
            changed = file.stat().st_mtime_ns
            entry = self._facts.get(name)
            if entry is None or entry[0] != changed:
                entry = self._facts[name] = changed, facts(name, file)
            entries.append(entry[1])
        return {"runs": entries}

    def opened(self, name: str) -> Run:
        """A run of the folder by its name, which is compared with the names that there are.

        Raises:
            ValueError: there is no such run.
        """
        if name not in self._names() or not (self.out / name / FILE).is_file():
            raise ValueError("there is no such run")
        with self._lock:
            if name not in self._runs:
                self._runs[name] = self._served(name)
            run = self._runs[name]
        run.refresh()
        return run

    def _served(self, name: str) -> Run:
        """A run with its game, if that is one that this studio makes."""
        folder = self.out / name
        try:
            self._check()
            recipe = read_recipe(folder, UNTRUSTED)
            if recipe is None or recipe.command != "text" or not of_studio(recipe.options):
                raise ValueError("It was not made by the studio; `interplay open` serves it.")
            other = [
                option
                for option in OF_MODEL
                if recipe.options.get(option) != getattr(self._model, option)
            ]
            if other:
                raise ValueError(f"The studio was started with another {' and '.join(other)}.")
            if recipe.check().status != MATCH:
                raise ValueError("Its inputs are not what was explained.")
            store = store_of(recipe, folder, UNTRUSTED)
        except ValueError as error:
            return Run(folder, self.session, name=name, why=str(error))

        def made() -> list[Game]:
            game = recipe.game(TYPED, self._loaded)  # the options were compared with those here
            if fingerprint_of(game) != load(folder / FILE).provenance["game"]["fingerprint"]:
                raise ValueError("the model is not the one that was explained")
            return [game]

        return Run(folder, self.session, Answers(made, store, "text"), name=name)

    def _check(self) -> None:
        if self.read_only:
            raise ValueError("It was started with --read-only.")

    def _names(self) -> list[str]:
        """The names of the folders that a studio made here."""
        if not self.out.is_dir():
            return []
        return [
            place.name
            for place in self.out.iterdir()
            if _NAME.fullmatch(place.name) and place.is_dir() and not place.is_symlink()
        ]


def _n_stored(folder: Path) -> int:
    """How many ablations the store of a run has; 0 where it cannot be read."""
    try:
        return sum(game.n_ablations for game in games(folder / STORE))
    except (StoreError, OSError):
        return 0


def _seconds_of_a_token(game: Game) -> float:
    """The time of a few ablations, by the tokens of their prompts.

    The first pass of all is slow, and is not timed.
    """
    game(end_masks(game.n_players)[:1])
    masks = np.random.default_rng(0).random((_TIMED, game.n_players)) < 0.5
    started = time.perf_counter()
    game(masks)
    return (time.perf_counter() - started) / max(1.0, float(costs(game, masks).sum()))
