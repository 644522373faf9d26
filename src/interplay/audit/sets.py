"""A set of prompts: each is explained, and what recurs is told by role."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import ceil, log2
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast, get_args

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from interplay._types import Json
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import OnError
from interplay.ablation.progress import display
from interplay.ablation.store import Store
from interplay.audit.asked import Asked
from interplay.audit.findings import Numbered, findings_of
from interplay.audit.lessons import UNLIKE, Learn, Lessons, Segments, alone, serves
from interplay.audit.pooled import pooled_score
from interplay.audit.prompts import (
    FromOthers,
    GivenGame,
    Prompt,
    Record,
    Records,
    key_of,
    record_of,
)
from interplay.audit.result import Audit, Audited, Refused
from interplay.designs.measures import AnyMeasure
from interplay.errors import GameError, MissingDependencyError, StoreError
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Explanation
from interplay.explanation.loading import load
from interplay.extensions import BackendName, DecoderName
from interplay.game import Game, described, fingerprint_of, held_hints, players_of

PROMPTS, RECORDS, STORE = "prompts", "records.jsonl", "ablations.db"
"""What is in an audit's folder: a folder of explanations, what is kept of each, and the values."""
LEAST = 0.1
"""An effect of less than this share of a prompt's range shows nothing."""
_FEWEST_ABLATIONS, _MOST_FAILED = 64, 20
_HELPS = 0.4, 1.0
"""From and below which multiples of n log2 n what was learned is used: with more ablations it gains
nothing, and with fewer it costs some prompts more than it gives (``benchmarks/bench_learning.py``).
"""
_MORE = 1.5
"""How many times the default budget a prompt has that is unlike the others."""


def audit_prompts(
    prompts: Iterable[Game | Prompt],
    *,
    folder: str | Path | None = None,
    by: str | None = None,
    least: float = LEAST,
    output: int = 0,
    budget: int | None = None,
    until: float | None = None,
    decoder: DecoderName | str = "auto",
    measure: AnyMeasure | None = None,
    random_state: int = 0,
    store: str | Path | None = None,
    backend: BackendName | str | Backend = "local",
    batch_size: int | None = None,
    on_error: OnError = "raise",
    learn: Learn = "relevance",
    progress: bool | None = None,
    total: int | None = None,
    **options: Any,
) -> Audit:
    """Explain each prompt of a set, and tell what recurs, by the roles of the players.

    The same call goes on where an interrupted one was, and evaluates nothing twice. Explanations
    are written to the folder one by one and not kept in memory. A prompt that cannot be explained
    is passed over and named at the end.

    Prompts are explained with what was learned from earlier ones (:mod:`interplay.audit.lessons`).
    What recurs is told from fits without it, to the values of each prompt alone, so that agreement
    between prompts is evidence. Scores are of held-out masks of each prompt.

    Args:
        prompts: games, taken one after another, whose players' names are their roles; or what
            ``interplay.text.from_rows`` gives (see :class:`interplay.audit.prompts.Prompt`).
        folder: where explanations, records and, by default, the store are.
        by: a column of the prompts; the findings are also given for each part of the set.
        least: the smallest effect that shows, as a share of the range of a prompt's values.
        output: which of several outputs.
        budget: the most ablations of a prompt; by default 2 n log2 n, at least 64, and half as many
            more for one unlike the others.
        until: as for :func:`interplay.explain`, as are the arguments that follow.
        decoder: see there.
        measure: see there.
        random_state: see there.
        store: see there.
        backend: see there.
        batch_size: see there.
        on_error: see there.
        learn: ``"relevance"``: which segments are likely to matter; ``"effects"``: and in which
            direction, for games with one output; ``False``: nothing. For the decoders ``"auto"``
            and ``"gp"``. Nothing is learned from scores with ends, such as probabilities.
        progress: show one progress over the set.
        total: how many prompts there are, for the progress.
        **options: of the decoder.

    Raises:
        ValueError: no prompts, none that could be explained, ``least`` out of range, or an unknown
            ``learn``.
        GameError: 20 prompts after one another failed.
        StoreError: the store cannot be used.

    Example:
        >>> import interplay as ip
        >>> def value(flawed, masks):
        ...     return masks[:, 0] * (1 - 0.6 * flawed * masks[:, 1]) + 0.2 * masks[:, 2]
        >>> from functools import partial
        >>> games = [ip.FunctionGame(partial(value, number % 3 == 0), n_players=3,
        ...                          players=["evidence", "note", "heading"])
        ...          for number in range(30)]
        >>> audit = ip.audit_prompts(games)
        >>> print(audit.findings[0].sentence)
        evidence × note: together they lower the score beyond what each does alone, in 10 of 30 \
prompts, 33% (19% to 50%)
    """
    if not 0 <= least < 1:
        raise ValueError(f"least={least!r}; give a share of the range from 0 to below 1")
    if learn not in (*get_args(get_args(Learn)[0]), *get_args(Learn)):
        raise ValueError(f'learn={learn!r} is unknown; choose "relevance", "effects" or False')
    settings = {
        "until": until,
        "decoder": decoder,
        "measure": measure,
        "random_state": random_state,
        "on_error": on_error,
        **options,
    }
    beside = None if folder is None else Path(folder) / STORE
    run = partial(
        explain,
        **settings,
        backend=backend,
        batch_size=batch_size,
        progress=False,
    )
    with ExitStack() as stack:
        place = Path(folder or stack.enter_context(TemporaryDirectory()))
        (place / PROMPTS).mkdir(parents=True, exist_ok=True)
        records = Records(place / RECORDS)
        stack.callback(records.close)
        if store or beside:  # a store that stays open is opened and closed faster by each prompt
            stack.callback(Store(store or beside).close)
        one_by_one = _OneByOne(
            records,
            run,
            budget,
            output,
            settings,
            place,
            folder is not None,
            store,
            beside,
            Lessons(learn, output),
            Asked(getattr(prompts, "asked", None)),
        )
        held = getattr(prompts, "held", nullcontext)  # what all of them have in common
        with held(), _bar(progress, total) as advance:
            one_by_one.all(prompts, advance)
        audited, counted = one_by_one.audited, one_by_one.counted
        if not audited:
            raise ValueError(
                "no prompt could be explained"
                + (f"; {one_by_one.refused[0]}" if one_by_one.refused else ", since none was given")
            )
        columns = {prompt.number: prompt.columns for prompt in audited}

        def slice_of(number: int) -> str | None:
            return None if by is None else columns[number].get(by)

        def read() -> Iterator[Numbered]:
            for number, where in counted:
                yield number, records.at(where)

        results = findings_of(read, least=least, slice_of=slice_of)
    return Audit(
        tuple(audited),
        tuple(one_by_one.refused),
        results,
        pooled_score([(one.error, one.spread, one.exact) for one in audited], random_state),
        by,
        least,
        tuple(sorted(one_by_one.indices)),
        one_by_one.n_new,
        one_by_one.interrupted,
        learn,
        output,
        random_state,
        one_by_one.asked.facts,
        None if folder is None else Path(folder),
    )


@dataclass
class _OneByOne:
    """Explains one prompt after another.

    Attributes:
        records: what is kept.
        run: explains a game with a budget.
        budget: that, or ``None``.
        output: which output is looked at.
        settings: all that an explanation depends on.
        place: the folder.
        keeps: whether explanations are kept there.
        store: the store that was asked for, or ``None``.
        beside: the one in the folder, for the values of games that can be stored.
        lessons: what is learned across prompts.
        asked: what was asked of all of them.
    """

    records: Records
    run: Any
    budget: int | None
    output: int
    settings: Json
    place: Path
    keeps: bool
    store: str | Path | None
    beside: Path | None
    lessons: Lessons
    asked: Asked

    def __post_init__(self) -> None:
        self.audited: list[Audited] = []
        self.counted: list[tuple[int, int]] = []
        self.refused: list[Refused] = []
        self.indices: set[str] = set()
        self.n_new = self.n_failed = 0
        self.interrupted = False

    def all(self, prompts: Iterable[Game | Prompt], advance: Any) -> None:
        """Explain them all, or until an interruption."""
        try:
            for number, given in enumerate(prompts):
                if not self._tried(number, _as_prompt(given, number)):
                    self.interrupted = True
                    return
                advance()
        except KeyboardInterrupt:
            self.interrupted = True

    def _tried(self, number: int, prompt: Prompt) -> bool:
        """Explain one, or note why not; false if that was interrupted.

        Raises:
            GameError: so many failed one after another that the model is to blame.
        """
        try:
            with held_hints():  # they take a backward pass in some games
                went_on = self._one(number, prompt)
        except (StoreError, MissingDependencyError):
            raise
        except (ValueError, GameError) as error:
            self.refused.append(Refused(number, prompt.title, prompt.line, _first_line(error)))
            self.n_failed += isinstance(error, GameError)
            if self.n_failed >= _MOST_FAILED:
                raise
            return True
        self.n_failed = 0
        return went_on

    def _one(self, number: int, prompt: Prompt) -> bool:
        """Explain one; false if that was interrupted."""
        game = prompt.game()
        roles = [list(given) for given in prompt.roles(game)]
        segments = Segments(players_of(game), roles, self.lessons.hints(game))
        budget = self.budget or default_budget(game.n_players)
        fingerprint = fingerprint_of(game)
        settings = {**self.settings, "budget": budget, "output": self.output}
        if self.lessons.key is not None:
            settings["learned"] = self.lessons.key
        key = key_of(fingerprint or f"unnamed:{number}", roles, settings)
        file = f"{PROMPTS}/{key[:16]}.interplay" if self.keeps else None
        known = None if fingerprint is None else self.records.find(key)
        if known is None or (file is not None and not (self.place / file).exists()):
            store = self.store or (self.beside if fingerprint is not None else None)
            run = partial(self.run, game, store=store)
            explanation, learned = self._explained(run, budget, segments, fingerprint is not None)
            if explanation.provenance["budget"]["interrupted"]:
                return False
            record = record_of(explanation, roles, key, self.output, learned)
            self.lessons.add(key, segments, explanation)
            until = self.settings["until"] is not None
            if self.lessons.learn == "effects" or helped(budget, game.n_players, until=until):
                self.lessons.warn_of_ends(explanation)
            if file is not None:
                explanation.save(self.place / file)
            known = record, self.records.append(record)
            self.n_new += 1
        elif file is not None and self.lessons.wanted:
            self.lessons.add(key, segments, load(self.place / file))
        record, where = known
        self.indices.add(record["index"])
        if record["counts"]:
            self.counted.append((number, where))
        self.asked.add(described(game))
        self.audited.append(
            audited_of(number, prompt.title, prompt.line, dict(prompt.columns), record, file)
        )
        return True

    def _explained(
        self, run: Any, budget: int, segments: Segments, can_store: bool
    ) -> tuple[Explanation, FromOthers]:
        """Explain one with what was learned, or without it where its values speak against it."""
        expected = self.lessons.expected(segments)
        helps = helped(budget, len(segments.texts), until=self.settings["until"] is not None)
        prior = expected.prior if expected is not None and helps else None
        explanation = run(budget=budget, prior=prior)
        provenance = explanation.provenance
        if provenance["budget"]["interrupted"] or expected is None:
            return explanation, FromOthers()
        if not serves(explanation, self.output):
            return alone(explanation), FromOthers()
        evidence = expected.evidence(explanation, self.output)
        if evidence >= UNLIKE:
            used = provenance.get("prior") is not None
            return explanation, FromOthers(expected.learned_from if used else 0, evidence)
        if self.budget is None and can_store:  # what is known is not evaluated again
            return run(budget=larger_budget(budget)), FromOthers(0, evidence)
        return alone(explanation), FromOthers(0, evidence)


def default_budget(n_players: int) -> int:
    """Ablations of a prompt of n players: 2 n log2 n, at least 64."""
    return max(_FEWEST_ABLATIONS, ceil(2 * _scale(n_players)))


def larger_budget(budget: int) -> int:
    """Ablations of a prompt that is unlike the others, instead of the default."""
    return ceil(_MORE * budget)


def helped(budget: int, n_players: int, *, until: bool) -> bool:
    """Whether a prompt is explained with what was learned, if its values allow it."""
    return until or _HELPS[0] <= budget / _scale(n_players) < _HELPS[1]


def audited_of(
    number: int,
    title: str,
    line: int | None,
    columns: Mapping[str, str],
    record: Record,
    file: str | None,
) -> Audited:
    """What an audit says of a prompt, by its record."""
    return Audited(
        number=number,
        title=title,
        line=line,
        columns=columns,
        level=record["level"],
        reason=record["reason"],
        counts=record["counts"],
        r2=record["r2"],
        low=record["low"],
        high=record["high"],
        exact=record["exact"],
        n_ablations=record["n_ablations"],
        n_held_out=record["n_held_out"],
        error=record["error"],
        spread=record["spread"],
        learned_from=record["learned_from"],
        evidence=record["evidence"],
        file=file,
    )


def _scale(n_players: int) -> float:
    """N log2 n."""
    return n_players * log2(max(n_players, 2))


def _as_prompt(given: Game | Prompt, number: int) -> Prompt:
    if hasattr(given, "columns") and hasattr(given, "roles"):
        return cast(Prompt, given)
    return GivenGame(given, f"prompt {number}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]


@contextmanager
def _bar(progress: bool | None, total: int | None) -> Iterator[Any]:
    """One progress over the set; what it gives is called after each prompt."""
    enabled = sys.stderr.isatty() if progress is None else progress
    columns = (TextColumn("prompts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with display(enabled, *columns) as (shown, lines):
        task = shown.add_task("prompts", total=total)

        def advance() -> None:
            shown.advance(task)
            done, of = int(shown.tasks[task].completed), "" if total is None else f" of {total:,}"
            lines.tell(lambda: f"{done:,}{of} prompts")

        yield advance
