"""AgentGame: an agent that is run again, what it did, and what it may not do."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.errors import GameError
from interplay.fourier.masks import every_mask
from interplay.text import (
    AgentGame,
    AgentRun,
    Argument,
    FinalAnswer,
    Replay,
    ToolCall,
    ToolChoice,
)

PLAYERS = {
    "search": "finds pages",
    "guess": "guesses",
    "note": "Anna is in Oslo.",
    "log": "Anna flew to Oslo.",
}
FIRST = ToolChoice("search")


def looker(tools: Replay) -> Any:
    """An agent: it needs a tool, and one of two notes for the town."""

    def run(kept: dict[str, str], seed: int) -> AgentRun:
        tool = next((name for name in ("search", "guess") if name in kept), None)
        if tool is None:
            return AgentRun(cost=1.0)
        town = "Oslo" if "note" in kept or "log" in kept else "Rome"
        call = tools(tool, town=town)
        return AgentRun((call,), f"It is {call.result}.", cost=2.0)

    return run


def weather(town: str) -> str:
    return {"Oslo": "snow", "Rome": "sun"}[town]


def tools() -> Replay:
    return Replay(safe={"search": weather, "guess": lambda town: "rain"})


def game(**settings: Any) -> AgentGame:
    scores = [FIRST, Argument("search", "town", "Oslo"), FinalAnswer("SNOW")]
    settings = {"score": scores, "safe_to_repeat": True} | settings
    return AgentGame(settings.pop("run", looker(tools())), PLAYERS, **settings)


def test_scores_are_read_off_the_runs() -> None:
    masks = every_mask(4)
    search, _, note, log = masks.T
    values = game()(masks)
    oslo = search & (note | log)
    assert np.array_equal(values, np.column_stack([search, oslo, oslo]).astype(float))
    assert game().outputs[0] == "search chosen in call 0"
    assert np.array_equal(game(score=FIRST)(masks), search.astype(float))


def test_it_is_explained_and_confirmed(tmp_path: Path) -> None:
    agent = game(score=FinalAnswer("snow"), name="looker 1")
    explanation = ip.explain(agent, store=tmp_path / "runs.db")
    pairs = dict(explanation.spectrum.to("Moebius", order=3))
    assert pairs[0, 2] == pairs[0, 3] == 1  # a tool and a note,
    assert pairs[0, 2, 3] == -1  # of which one will do
    again = game(score=FinalAnswer("snow"), name="looker 1")
    assert ip.explain(again, store=tmp_path / "runs.db").faithfulness.exact
    assert again.usage.n_runs == 0
    page = explanation.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "What the agent has" in page
    assert "Anna flew to Oslo." in page


def test_a_repeated_call_is_replayed_and_all_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "runs.jsonl"
    agent = game(log=log)
    agent(every_mask(4))
    used = agent.usage
    assert used.calls["search", "called"] == 2  # Oslo and Rome
    assert used.calls["search", "replayed"] == 6
    assert (used.n_runs, used.cost) == (16, 4 * 1.0 + 12 * 2.0)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 16
    (whole,) = (line for line in lines if len(line["kept"]) == 4)
    assert whole["values"] == [1.0, 1.0, 1.0]
    assert whole["calls"][0]["arguments"] == {"town": "Oslo"}
    assert whole["answer"] == "It is snow."


def test_it_must_be_said_that_it_is_safe_to_repeat() -> None:
    with pytest.raises(ValueError, match="safe_to_repeat=True"):
        AgentGame(looker(tools()), PLAYERS, FIRST)
    with pytest.raises(ValueError, match="safe_to_repeat=True"):
        game(safe_to_repeat="yes")


def test_a_tool_with_effects_is_never_called() -> None:
    sent = []
    recorded = [ToolCall("send", {"to": "Anna"}, "Sent to Anna.")]
    replay = Replay(recorded=recorded, stand_ins={"order": "Ordered."}, safe={"log": sent.append})
    assert replay("send", to="Anna") == ToolCall(
        "send", {"to": "Anna"}, "Sent to Anna.", "replayed"
    )
    assert replay("order", what="tea").source == "stand-in"
    with pytest.raises(GameError, match=r"'send' was called with \{'to': 'Ben'\}.*safe="):
        replay("send", to="Ben")
    with pytest.raises(GameError, match="no JSON"):
        replay("send", to=object())
    with pytest.raises(ValueError, match="safe to call and has a stand-in"):
        Replay(safe={"log": sent.append}, stand_ins={"log": 1})
    assert not sent

    def careless(kept: dict[str, str], seed: int) -> AgentRun:
        return AgentRun((replay("send", to="Ben"),))

    with pytest.raises(GameError, match=r"with \[.*raised GameError: the tool 'send'"):
        ip.explain(game(run=careless, score=FIRST))


def test_limits_of_time_and_cost() -> None:
    def slow(kept: dict[str, str], seed: int) -> AgentRun:
        time.sleep(0 if "note" in kept else 30)
        return AgentRun()

    limited = game(run=slow, score=FIRST, time_limit=0.2)
    masks = every_mask(4)
    assert np.array_equal(limited(masks[-1:]), [0.0])
    with pytest.raises(GameError, match=r"longer than time_limit=0\.2 s"):
        limited(masks[:1])
    capped = game(cost_limit=5.0, score=FIRST)
    with pytest.raises(GameError, match="cost_limit=5 or more") as stopped:
        ip.explain(capped)
    assert capped.usage.n_runs == 3
    assert stopped.value.values is not None
    assert len(stopped.value.values) == 3  # nothing is lost


def test_an_agent_that_draws_at_random_gets_seeds() -> None:
    def noisy(kept: dict[str, str], seed: int) -> float:
        return len(kept) + float(np.random.default_rng(seed).normal())

    agent = game(run=noisy, score=None, n_repeats=5)
    explanation = ip.explain(agent)
    assert agent.usage.n_runs == 5 * 16
    assert explanation.faithfulness.noise > 0.05
    assert np.array_equal(agent(np.ones((1, 4), bool)), agent(np.ones((1, 4), bool)))  # seed 0


def test_what_no_score_can_be_read_of_is_refused() -> None:
    whole = np.ones((1, 4), dtype=bool)
    for returned, score, match in (
        (1.0, FIRST, "return an AgentRun"),
        (AgentRun(), None, "a finite number is expected"),
        (float("nan"), None, "a finite number is expected"),
        (AgentRun(cost=-1.0), FIRST, "cost -1.0"),
        (AgentRun(answer=None), FIRST, "the answer None of a run is no text"),  # type: ignore[arg-type]
        (AgentRun(answer=3), ip.text.FinalAnswer("3"), "the answer 3 of a run"),  # type: ignore[arg-type]
        (AgentRun(("search",)), FIRST, "no ToolCalls"),  # type: ignore[arg-type]
        (AgentRun((ToolCall("search"),)), ToolChoice("search", score="prob"), "no probabilities"),
    ):
        with pytest.raises(GameError, match=match):
            game(run=lambda kept, seed, r=returned: r, score=score)(whole)
    call = ToolCall("guess", probabilities={"guess": 0.75, "search": 0.25})
    likely = ToolChoice("search", score="prob")
    assert likely(AgentRun((call,))) == 0.25
    assert likely(AgentRun()) == 0


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"time_limit": 0}, "time_limit=0 is no finite number above 0"),
        ({"time_limit": "5"}, "time_limit='5' is no finite number above 0"),
        ({"time_limit": float("inf")}, "time_limit=inf is no finite number above 0"),
        ({"time_limit": 1e12}, "the longest that Python waits"),
        ({"cost_limit": float("nan")}, "cost_limit=nan is no finite number above 0"),
        ({"run": 3}, "run=3 cannot be called"),
        ({"cost_limit": 1.0, "score": None}, "cost_limit needs records"),
        ({"score": [FIRST, FIRST]}, "repeat"),
        ({"score": []}, "none, or repeat"),
        ({"name": ""}, "identifies nothing"),
        ({"n_repeats": 0}, "n_repeats=0"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        game(**settings)


@pytest.mark.parametrize("time_limit", [None, 5.0])
def test_an_agent_that_exits_does_not_end_the_process(time_limit: float | None) -> None:
    def leaves(kept: dict[str, str], seed: int) -> AgentRun:
        raise SystemExit(0)

    with pytest.raises(GameError, match=r"raised SystemExit: 0"):
        ip.explain(game(run=leaves, score=FIRST, time_limit=time_limit))


def test_players_and_scores_out_of_range() -> None:
    for players, match in ((["a", "a"], "a name twice"), ([], "none"), ("ab", "is one text")):
        with pytest.raises(ValueError, match=match):
            AgentGame(looker(tools()), players, FIRST, safe_to_repeat=True)
    with pytest.raises(ValueError, match="score='logprob'"):
        ToolChoice("search", score="logprob")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give its step"):
        ToolChoice("search", step=None, score="prob")
    with pytest.raises(ValueError, match="below 0"):
        ToolChoice("search", step=-1)
    with pytest.raises(ValueError, match="is empty"):
        FinalAnswer(" ")


def test_the_fingerprint_is_of_name_players_and_scores() -> None:
    named = game(name="a").fingerprint
    assert named is not None
    assert game().fingerprint is None
    assert game(name="b").fingerprint != named
    assert game(name="a", score=FIRST).fingerprint != named
    assert game(name="a", time_limit=9.0).fingerprint == named
