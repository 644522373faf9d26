"""Jobs one after the other, questions between their blocks, and a stop from another thread."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.cli.live.answers import Answers
from interplay.cli.live.run import Run
from interplay.cli.live.session import MOST_JOBS, BusyError, EndingError, Job, Session
from tests.cli.live.serving import folder_of, game_of, new_session, values_without


@pytest.fixture
def session() -> Any:
    made = new_session()
    yield made
    made.close()


def ended(session: Session, job: Job) -> Job:
    """The job once it and everything before it is done."""
    over = threading.Event()
    session.submit("run", "last", lambda _: over.set() or "")  # type: ignore[func-returns-value]
    assert over.wait(60)
    return job


class Slow:
    """A game of blocks that wait until they may go on."""

    n_players = 12
    fingerprint = "slow"
    batch_size = 8

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, masks: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(60)
        return masks[:, 0] * 1.0 + masks[:, 1] * masks[:, 2]


def test_a_question_is_answered_between_the_blocks_of_a_job(session: Session) -> None:
    game = Slow()
    job = session.submit(
        "run",
        "slow",
        lambda _: str(len(ip.explain(game, budget=100, batch_size=10, progress=False).fit)),
    )
    assert game.begun.wait(60)
    answer = session.ask(lambda: job.state)
    game.go_on.set()
    assert answer.result(60) == "running"
    assert ended(session, job).state == "done"
    assert job.progress["done"] == job.progress["total"]


def test_a_stopped_run_explains_what_there_is(session: Session, tmp_path: Path) -> None:
    game = Slow()
    kept: list[ip.Explanation] = []

    def run(job: Job) -> str:
        kept.append(
            ip.explain(game, budget=400, batch_size=50, store=tmp_path / "a.db", progress=False)
        )
        return "explained"

    job = session.submit("run", "slow", run)
    waits = session.submit("run", "never", lambda _: "ran")
    assert game.begun.wait(60)
    for one in range(2):  # the second block may begin before the stop is seen
        game.go_on.set()
        if one == 0:
            session.ask(lambda: session.stop(job.number)).result(60)
    session.stop(waits.number)
    ended(session, job)
    assert (job.state, waits.state) == ("stopped", "stopped")
    assert kept[0].provenance["budget"]["interrupted"]
    assert 50 <= kept[0].provenance["budget"]["spent"] < 400
    assert kept[0].faithfulness.known


def test_a_job_that_fails_says_why_and_the_next_one_runs(session: Session) -> None:
    def fail(job: Job) -> str:
        raise ValueError("no such \x1b[31mthing")

    failed = session.submit("run", "fails", fail)
    done = session.submit("run", "runs", lambda _: "fine")
    ended(session, done)
    assert failed.state == "failed"
    assert failed.said == "no such ⟨U+001B⟩[31mthing"
    assert done.said == "fine"
    with pytest.raises(ValueError, match="no job"):
        session.stop(99)


def test_numbers_that_json_does_not_have_end_no_session(session: Session) -> None:
    def run(job: Job) -> str:
        job.progress = {"cv_r2": float("nan"), "ablations": 12}
        raise SystemExit("ended")

    failed = session.submit("run", "odd", run)
    assert ended(session, failed).state == "failed"
    assert failed.said == "ended"


def test_a_question_that_would_end_the_server_is_an_error(session: Session) -> None:
    def question() -> None:
        raise KeyboardInterrupt("by nobody")

    with pytest.raises(RuntimeError, match="by nobody"):
        session.ask(question).result(60)
    session.close()
    with pytest.raises(EndingError, match="ending"):
        session.ask(question)


def test_only_so_much_may_wait(session: Session) -> None:
    go_on = threading.Event()
    begun = threading.Event()
    session.submit("run", "first", lambda _: str(begun.set() or go_on.wait(60)))  # type: ignore[func-returns-value]
    assert begun.wait(60)
    for _ in range(MOST_JOBS):
        session.submit("run", "more", lambda _: "")
    with pytest.raises(BusyError, match="try again later"):
        session.submit("run", "one too many", lambda _: "")
    go_on.set()


def test_closing_ends_the_job_that_runs_and_writes_it(tmp_path: Path) -> None:
    session, game = new_session(), Slow()
    spent: list[int] = []

    def run(job: Job) -> str:
        explanation = ip.explain(game, budget=400, batch_size=50, progress=False)
        spent.append(explanation.provenance["budget"]["spent"])
        return ""

    session.submit("run", "slow", run)
    waits = session.submit("run", "waits", run)
    assert game.begun.wait(60)
    threading.Timer(0.05, game.go_on.set).start()
    session.close()
    assert spent
    assert spent[0] < 400
    assert waits.state == "stopped"


def test_a_run_confirms_and_goes_on_as_the_command_line_would(
    session: Session, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path)
    store = folder / "ablations.db"
    run = Run(folder, session, Answers(lambda: [game_of()], store, "text"))
    before = ip.load(folder / "explanation.interplay")

    job = ended(session, run.confirm(0, [0, 1]))
    assert job.state == "done", job.said
    confirmed = ip.load(folder / "explanation.interplay").confirmation
    assert confirmed is not None
    assert (0, 1) in [tested.players for tested in confirmed.tested]
    again = before.confirm(
        len(confirmed.tested), game=game_of(), budget=confirmed.budget, store=store
    )
    assert [one.measured for one in again.tested] == [one.measured for one in confirmed.tested]

    answer = session.ask(lambda: run.ask(0, [0, 1])).result(60)
    assert answer["values"] == [pytest.approx(values_without([0, 1]))]
    assert session.ask(lambda: run.ask(0, [0, 1])).result(60)["stored"]

    job = ended(session, run.more(1.0, 130))
    assert job.state == "done", job.said
    more = ip.load(folder / "explanation.interplay")
    assert more.provenance["budget"]["spent"] > before.provenance["budget"]["spent"]
    assert more.provenance["until"]["goal"] == 1.0
    verification = ip.verify(more, game_of(), store=store)  # what a run with --until would be
    assert verification.verdict == "match", verification
    assert "stopping rule" in [check.name for check in verification.checks]

    job = ended(session, run.more(0.5, 60))
    assert "stays as it is" in job.said
    assert len(ip.load(folder / "explanation.interplay").fit) == len(more.fit)

    (folder / "explanation.interplay").write_bytes((folder / "explanation.html").read_bytes())
    job = ended(session, run.confirm(0, top=1))
    assert job.state == "failed"
    assert "another process" in job.said


def masks_of(ablations: Any) -> set[tuple[int, ...]]:
    return {tuple(np.flatnonzero(~mask).tolist()) for mask in ablations.masks}


def test_answers_are_kept_and_more_ablations_keep_them(session: Session, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    file, store = folder / "explanation.interplay", folder / "ablations.db"
    explained = ip.load(file)
    chosen = explained.necessary(game=game_of(), store=store)
    dataclasses.replace(explained, decisive=(chosen,)).save(file)
    run = Run(folder, session, Answers(lambda: [game_of()], store, "text"))
    assert run.to_json()["unkept"] == [0]
    with pytest.raises(ValueError, match="no answer is to be kept"):
        run.keep(0)

    new = [[3], [2, 3], [2, 3, 7], [2, 3, 7, 8]]
    known = masks_of(explained.ablations)
    new = [removed for removed in new if tuple(removed) not in known]
    assert new
    for removed in (*new, new[0], []):  # once each; the whole input is there already
        answer = session.ask(lambda removed=removed: run.ask(0, removed)).result(60)
    assert answer["unkept"] == len(new) == run.to_json()["unkept"][0]

    job = ended(session, run.keep(0))
    assert job.state == "done", job.said
    kept = ip.load(file)
    assert kept.asked is not None
    assert masks_of(kept.asked) == {tuple(removed) for removed in new}
    assert kept.asked.values.tolist() == pytest.approx([values_without(one) for one in new])
    assert kept.decisive == (chosen,)
    assert run.to_json()["unkept"] == [0]
    verification = ip.verify(kept, game_of(), store=store)
    assert verification.verdict == "match", verification
    assert "asked" in [check.name for check in verification.checks]

    job = ended(session, run.more(1.0, 130))
    assert job.state == "done", job.said
    more = ip.load(file)
    assert len(more.ablations) > len(kept.ablations)
    asked = set() if more.asked is None else masks_of(more.asked)
    used = masks_of(more.ablations)
    assert not asked & used  # each value is there once
    assert masks_of(kept.asked) <= asked | used
    assert [one.players for one in more.decisive] == [
        more.necessary(game=game_of(), store=store).players
    ]
    verification = ip.verify(more, game_of(), store=store)
    assert verification.verdict == "match", verification


def test_a_run_with_a_cheaper_model_is_for_the_command(session: Session, tmp_path: Path) -> None:
    file, store = tmp_path / "explanation.interplay", tmp_path / "ablations.db"
    cheaper = ip.FunctionGame(game_of(), 9, fingerprint="cheaper")
    settings = {"cheaper": cheaper, "cheaper_budget": 200, "store": store}
    ip.explain(game_of(), budget=80, **settings).save(file)
    run = Run(tmp_path, session, Answers(lambda: [game_of()], store, "text"))
    with pytest.raises(ValueError, match="A cheaper model was asked too"):
        run.more(0.9)


def test_a_folder_that_explains_another_game_by_now(session: Session, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    run = Run(folder, session, Answers(lambda: [game_of()], folder / "ablations.db", "text"))
    ip.explain(game_of(8), budget=40).save(folder / "explanation.interplay")
    run.refresh()
    with pytest.raises(ValueError, match="another game by now"):
        session.ask(lambda: run.ask(0, [0])).result(60)
