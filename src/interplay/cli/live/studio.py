"""The studio: prompts that are typed in a browser become runs, which are watched while they run."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, replace
from math import ceil, log2
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from interplay._arrays import as_columns
from interplay._types import Json, visible
from interplay.ablation.evaluator import Evaluator
from interplay.audit.checks import MATCH
from interplay.cli.ends import with_answers
from interplay.cli.folders import write
from interplay.cli.live.drafts import OF_MODEL, Draft, of_studio
from interplay.cli.live.run import Answers, Run
from interplay.cli.live.session import Job, Session
from interplay.cli.options import STORE, ShownOptions
from interplay.cli.recipes import read_recipe, store_of
from interplay.cli.text import TextOptions
from interplay.cli.trust import TYPED, UNTRUSTED
from interplay.decoders.decode import get_decoder
from interplay.explanation.console import ORDER
from interplay.explanation.explain import explain
from interplay.explanation.explanation import FILE, Explanation
from interplay.explanation.loading import load
from interplay.explanation.plan import plan
from interplay.explanation.run_plan import Request, default_budget, needed
from interplay.fourier.masks import end_masks
from interplay.game import Game, fingerprint_of
from interplay.report.document import view_of
from interplay.text.answers import ends
from interplay.text.game import TextGame

_NAME = re.compile(r"(\d{3,9})-[a-z0-9-]{1,60}")
_FIRST = 60
"""The fewest ablations of a first look, as of adaptive sampling."""
_SHOWN = 8


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
        self._rate: float | None = None
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

        The time is measured on the first draft's own ablations, and scaled for the others.
        """
        self._check()
        options = draft.options(self._model, Path(self._drafts.name))
        game = options.game(TYPED, self._loaded)
        first = self._rate is None
        planned = plan(game, budget=draft.budget, warm_up=first, progress=False)
        tokens = planned.tokens or 0.0
        if first and planned.seconds and tokens:
            self._rate = planned.seconds / tokens
        return {
            "ablations": planned.n_stored + planned.n_new,
            "held_out": planned.n_held_out,
            "n_players": planned.n_players,
            "decoder": planned.decoder,
            "tokens": tokens,
            "seconds": None if self._rate is None else tokens * self._rate,
            "steps": growing(draft.budget, planned.n_players),
        }

    def run(self, draft: Draft) -> Job:
        """Explain a draft: a job. Its folder is there at once, its results as they come.

        Raises:
            ValueError: the prompt cannot be explained.
        """
        self._check()
        draft.pieces(self._loaded[1])
        with self._lock:
            self.out.mkdir(parents=True, exist_ok=True)
            numbers = [int(name.partition("-")[0]) for name in self._names()]
            name = f"{max(numbers, default=0) + 1:03d}-{draft.name}"
            folder = self.out / name
            folder.mkdir()
        options = draft.options(self._model, folder / "inputs")

        def run(job: Job) -> str:
            return self._explain(name, options, draft.budget, job)

        return self.session.submit("run", f"Explain {name}", run, name)

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
        entries = []
        for name in sorted(self._names(), reverse=True):
            file = self.out / name / FILE
            if not file.is_file():
                continue
            changed = file.stat().st_mtime_ns
            known = self._facts.get(name)
            if known is None or known[0] != changed:
                known = self._facts[name] = changed, _facts(name, file)
            entries.append(known[1])
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

        def games() -> list[Game]:
            game = recipe.game(TYPED, self._loaded)  # the options were compared with those here
            if fingerprint_of(game) != load(folder / FILE).provenance["game"]["fingerprint"]:
                raise ValueError("the model is not the one that was explained")
            return [game]

        return Run(folder, self.session, Answers(games, store, "text"), name=name)

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


def growing(budget: int | None, n_players: int) -> list[int]:
    """The budgets at which a run is looked at: each about twice the one before it.

    Args:
        budget: the last; ``None``: the default for that many players.
        n_players: n.
    """
    last = default_budget(n_players) if budget is None else budget
    if n_players < 63:
        last = min(last, 1 << n_players)
    scale = n_players * log2(max(n_players, 2))
    first = max(_FIRST, needed(get_decoder("auto"), n_players, Request.holdout), ceil(scale / 2))
    steps = [last]
    while steps[0] // 2 >= first:
        steps.insert(0, steps[0] // 2)
    return steps


def look(explanation: Explanation) -> Json:
    """What is shown of an explanation while ablations still arrive."""
    output = 0 if explanation.outputs else None
    spectrum = explanation.spectrum.output(0)
    interactions = spectrum.to(explanation.index, order=ORDER, players=explanation.players)
    shaded = explanation.verdict.shaded_effects(interactions, 0)
    top, n_left_out = explanation.verdict.strongest(interactions, _SHOWN, output=output)
    low, high = top.low, top.high
    both = explanation.ends
    return {
        "level": explanation.verdict.level,
        "sentence": visible(explanation.verdict.sentence),
        "index": explanation.index,
        "pieces": view_of(explanation).get("pieces") or [],
        "effects": [float(effect) for effect in shaded],
        "full": explanation.verdict.full_shade(float(max(abs(shaded), default=0.0))),
        "ends": None if both is None else as_columns(both)[:, 0].tolist(),
        "top": [
            {
                "players": list(players),
                "labels": [visible(explanation.players[player]) for player in players],
                "value": float(value),
                "low": None if low is None else float(low[row]),
                "high": None if high is None else float(high[row]),
            }
            for row, (players, value) in enumerate(top)
        ],
        "n_left_out": n_left_out,
    }


def _facts(name: str, file: Path) -> Json:
    """What the history says of a run."""
    try:
        explanation = load(file)
    except (ValueError, OSError) as error:
        return {"name": name, "error": visible(str(error))[:200]}
    score, provenance = explanation.faithfulness, explanation.provenance
    described: Any = provenance["game"]["description"]
    return {
        "name": name,
        "text": visible(str(described.get("text", "")))[:120],
        "created": provenance["created"],
        "n_players": len(explanation.players),
        "by": visible(str(described.get("by", ""))),
        "ablations": provenance["budget"]["spent"],
        "r2": score.r2 if score.known else None,
        "level": explanation.verdict.level,
        "confirmed": explanation.confirmation is not None,
    }
