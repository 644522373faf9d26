"""Bodies that no page sends: each gives one clear error, and the session lives on."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from interplay.cli.live import guard
from interplay.cli.live.answers import Answers
from interplay.cli.live.drafts import MOST_ABLATIONS, MOST_PLAYERS
from interplay.cli.live.guard import LARGEST_REQUEST, Keys
from interplay.cli.live.routes import of_run, of_studio
from interplay.cli.live.run import Run
from interplay.cli.live.server import Listening
from interplay.cli.live.session import Session
from interplay.cli.live.studio import Studio
from interplay.cli.text import TextOptions
from tests.cli.live.serving import (
    FORM,
    ask,
    folder_of,
    game_of,
    new_session,
    serving,
    values_without,
)

POSTS = ("ask", "confirm", "more", "keep", "stop")


class Broken:
    """A game with a defect that shows at one mask."""

    def __init__(self, mask: Any) -> None:
        self.game, self.mask = game_of(), mask
        self.n_players, self.fingerprint = self.game.n_players, self.game.fingerprint

    def __call__(self, masks: Any) -> Any:
        if (masks == self.mask).all(axis=1).any():
            raise SystemExit("out of <b>memory</b>")
        return self.game(masks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def defect(folder: Path) -> list[int]:
    """Players without whom nothing was evaluated."""
    used = ip.load(folder / "explanation.interplay").ablations.masks.tolist()
    for removed in combinations(range(9), 5):
        if [player not in removed for player in range(9)] not in used:
            return list(removed)
    raise AssertionError("all were evaluated")


@pytest.fixture(scope="module")
def keys(folder: Path, defect: list[int]) -> Iterator[Keys]:
    session, store = new_session(), folder / "ablations.db"
    game = Broken([player not in defect for player in range(9)])
    run = Run(folder, session, Answers(lambda: [game], store, "text"))
    with serving(of_run("/", lambda request: run, session), session) as keys:
        yield keys


def lives(keys: Keys) -> bool:
    """Whether a question is still answered."""
    status, _, text = ask(keys, "/api/ask", {"part": 0, "removed": [0, 1]})
    return status == 200 and json.loads(text)["values"] == [pytest.approx(values_without([0, 1]))]


def refusal(keys: Keys, path: str, body: Any, **headers: str | None) -> tuple[int, str]:
    """The status and the words of a refusal: one error, without a trace of the code."""
    status, _, text = ask(keys, path, body, **headers)
    assert 400 <= status < 500, (path, str(body)[:80], status, text)
    said = json.loads(text)["error"] if text.startswith("{") else text
    assert said
    assert len(said) <= 2_000
    assert "Traceback" not in said
    assert ".py" not in said
    return status, said


WRONG = {
    "deep": b'{"part":' * 5_000 + b"0" + b"}" * 5_000,
    "deep list": b'{"part": 0, "removed": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge": b'{"part": 0, "removed": [' + b"1," * LARGEST_REQUEST,
    "not UTF-8": b'{"part": 0, "removed": [], "\xff\xfe": 1}',
    "UTF-16": '{"part": 0}'.encode("utf-16"),
    "half a character": b'{"part": 0, "removed": [], "\\ud800": 1}',
    "NaN": b'{"part": NaN, "removed": [], "until": NaN, "job": NaN}',
    "infinite": b'{"part": 1e999, "removed": [], "until": 1e999, "job": 1e999}',
    "digits": b'{"part": ' + b"9" * 5_000 + b"}",
    "twice": b'{"part": 0, "part": 0, "until": 1, "until": 1, "job": 1, "job": 1}',
    "a list": b"[]",
    "a text": b'"part"',
    "null": b"null",
    "empty": b"",
    "cut": b'{"part": 0, "remo',
    "prototype": b'{"part": 0, "removed": [], "until": 0.9, "job": 1, "__proto__": {"a": 1}}',
    "markup": b'{"part": "<img src=x onerror=alert(1)>", "removed": [], "until": "<", "job": "<"}',
    "texts": b'{"part": "0", "removed": "0", "until": "1", "job": "1"}',
    "nothing": b'{"part": null, "removed": null, "until": null, "job": null}',
    "fractions": b'{"part": 0.5, "removed": [0.5], "until": [], "job": 0.5}',
    "negative": b'{"part": -1, "removed": [], "until": -1, "job": -1}',
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_body_of_another_form_is_refused_in_words(keys: Keys, kind: str) -> None:
    for post in POSTS:
        refusal(keys, f"/api/{post}", WRONG[kind])
    assert lives(keys)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("ask", {"part": 10**250, "removed": []}, "no part"),
        ("ask", {"part": 0, "removed": [10**250]}, "from 0 to 8"),
        ("ask", {"part": 0, "removed": list(range(9)) * 1_000}, "distinct"),
        ("confirm", {"part": 0, "players": []}, "no interaction"),
        ("confirm", {"part": 0, "players": list(range(9))}, "no interaction"),
        ("confirm", {"part": 0, "players": [0, 0]}, "distinct"),
        ("confirm", {"part": 0, "top": 0}, "1 to 12"),
        ("confirm", {"part": 0, "top": -(10**100)}, "1 to 12"),
        ("more", {"until": 10**290}, "(0, 1]"),
        ("more", {"until": 0}, "(0, 1]"),
        ("more", {"until": 0.9, "budget": -5}, "budget"),
        ("more", {"until": 0.9, "budget": 10**200}, "budget"),
        ("stop", {"job": 10**200}, "no job"),
    ],
)
def test_numbers_out_of_range(keys: Keys, path: str, body: Any, said: str) -> None:
    assert said in refusal(keys, f"/api/{path}", body)[1]
    assert lives(keys)


def test_a_defect_is_told_in_words_and_ends_nothing(keys: Keys, defect: list[int]) -> None:
    status, headers, text = ask(keys, "/api/ask", {"part": 0, "removed": defect})
    assert status == 500
    assert headers["content-type"] == "application/json"
    assert "Traceback" not in text
    assert json.loads(text)["error"] == "out of <b>memory</b>"  # a text, never markup, on the page
    assert lives(keys)


def test_each_route_asks_for_host_origin_and_cookie(keys: Keys) -> None:
    for path in ("/", "/api/state", "/api/events"):
        assert refusal(keys, path, None, host="evil.example")[0] == 421
        assert refusal(keys, path, None, cookie="x")[0] == 403
    for post in POSTS:
        path = f"/api/{post}"
        assert refusal(keys, path, {}, host="evil.example")[0] == 421
        assert refusal(keys, path, {}, origin="http://evil.example")[0] == 403
        assert refusal(keys, path, {}, origin=None)[0] == 403
        assert refusal(keys, path, {}, cookie="x")[0] == 403
        for kind in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""):
            assert refusal(keys, path, {}, content_type=kind)[0] == 415
    assert refusal(keys, "/api/events", None, sec_fetch_site="cross-site")[0] == 403


def test_a_slow_body_is_given_up(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_SECONDS", 0.5)
    host = f"{keys.host}:{keys.port}"
    with socket.create_connection((keys.host, keys.port), timeout=30) as slow:
        head = (
            f"POST /api/ask HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n"
            f"cookie: {keys.name}={keys.cookie}\r\ncontent-type: application/json\r\n"
            "content-length: 100\r\n\r\n{"
        )
        slow.sendall(head.encode())
        assert lives(keys)  # meanwhile
        assert slow.recv(4_096).startswith(b"HTTP/1.1 408")
    assert lives(keys)


def test_many_at_once(keys: Keys) -> None:
    def one(number: int) -> int:
        return ask(keys, "/api/ask", {"part": 0, "removed": [number % 9, (number + 4) % 9]})[0]

    with ThreadPoolExecutor(40) as pool:
        statuses = set(pool.map(one, range(120)))
    assert 200 in statuses
    assert statuses <= {200, 429, 503}
    assert lives(keys)


def test_the_address_is_told_when_it_is_answered(tmp_path: Path) -> None:
    listening, session = Listening(), new_session()
    run, told = Run(folder_of(tmp_path), session), list[int]()

    def announce(address: str) -> None:  # in the server's thread: it accepts, if not yet answers
        socket.create_connection((listening.keys.host, listening.keys.port), timeout=5).close()
        assert address == listening.keys.address
        told.append(1)

    routes = of_run("/", lambda request: run, session)
    settings = {"announce": announce}
    thread = threading.Thread(target=listening.serve, args=(routes, session), kwargs=settings)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((listening.keys.host, listening.keys.port), timeout=5)
    thread.start()
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told
    listening.end()
    thread.join(60)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def studio(
    smollm: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Keys, Path, Session]]:
    out, session = tmp_path_factory.mktemp("studio") / "runs", new_session()
    made = Studio(out, TextOptions(model="smollm2", threads=1), session, loaded=smollm)
    with serving(of_studio(made, session), session) as keys:
        yield keys, out, session
    made.close()


def test_the_studio_refuses_in_words(studio: tuple[Keys, Path, Session]) -> None:
    keys, out, _ = studio
    for change, said in (
        ({"text": "a b " * MOST_PLAYERS, "by": "word"}, f"above {MOST_PLAYERS}"),
        ({"response": [" garden"]}, "text is expected"),
        ({"model": "/etc/passwd"}, "'model'"),
        ({"model": "model.pkl"}, "'model'"),
        ({"__proto__": {}}, "'__proto__'"),
        ({"by": {}}, "one of"),
        ({"text": {"a": 1}}, "text is expected"),
    ):
        for path in ("players", "plan", "run"):
            assert said in refusal(keys, f"/api/{path}", FORM | change)[1]
    for change, said in (
        ({"budget": -5}, "between"),
        ({"budget": MOST_ABLATIONS + 1}, "between"),
        ({"budget": 10**250}, "between"),
        ({"target": "logit-difference", "response": "a", "against": "a"}, "the same"),
        ({"before": "x " * 24_000}, "context"),
    ):
        assert said in refusal(keys, "/api/plan", FORM | change)[1]
    for kind, body in WRONG.items():
        for path in ("players", "plan", "run", "stop"):
            assert refusal(keys, f"/api/{path}", body)[0] in (400, 413), kind
    for name in ("..", "../x", "%2e%2e%2fx", "a" * 200, "001-x%00", "inputs", "__proto__"):
        for path in ("", "api/state", "api/events"):
            assert refusal(keys, f"/run/{name}/{path}", None)[0] in (400, 404), name
        for post in POSTS:
            assert refusal(keys, f"/run/{name}/api/{post}", {})[0] in (400, 404), name
    assert not out.exists()


def test_line_breaks_are_those_of_the_file(studio: tuple[Keys, Path, Session]) -> None:
    asked = FORM | {"text": "one two\rthree\r\nfour", "by": "line"}
    pieces = json.loads(ask(studio[0], "/api/players", asked)[2])["pieces"]
    assert [text for text, player in pieces if player is not None] == ["one two", "three", "four"]


def test_nothing_is_left_of_runs_that_end_before_anything_is_there(
    studio: tuple[Keys, Path, Session],
) -> None:
    keys, out, session = studio
    go_on, begun = threading.Event(), threading.Event()
    session.submit("run", "first", lambda _: str(begun.set() or go_on.wait(60)))  # type: ignore[func-returns-value]
    assert begun.wait(60)
    longer = {"text": FORM["text"] * 5}  # 15 players
    fails, waits = (
        json.loads(ask(keys, "/api/run", FORM | change)[2])
        for change in (
            longer | {"budget": 10},  # too few
            longer,
        )
    )
    assert fails["where"] != waits["where"]
    assert ask(keys, "/api/stop", {"job": waits["number"]})[0] == 200
    go_on.set()
    deadline = time.monotonic() + 120
    while True:
        jobs = {job["number"]: job for job in session.state()["jobs"]}
        if jobs[fails["number"]]["state"] not in ("waiting", "running"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert jobs[fails["number"]]["state"] == "failed"
    assert "budget=10" in jobs[fails["number"]]["said"]
    assert jobs[waits["number"]]["state"] == "stopped"
    assert not out.exists() or list(out.iterdir()) == []
    assert json.loads(ask(keys, "/api/history")[2]) == {"runs": []}


def test_an_unfinished_run_is_listed_and_gone_on_with(
    studio: tuple[Keys, Path, Session],
) -> None:
    keys, out, session = studio
    folder = out / "004-anna"
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "prompt.txt").write_text(str(FORM["text"]))
    ip.explain(game_of(8), budget=40, store=folder / "ablations.db")  # those of another game
    (entry,) = json.loads(ask(keys, "/api/history")[2])["runs"]
    assert entry == {"name": "004-anna", "unfinished": 40}
    job = json.loads(ask(keys, "/api/run", FORM)[2])
    other = json.loads(ask(keys, "/api/run", FORM)[2])  # which does not share its folder
    assert job["where"] == "004-anna"
    assert other["where"] == "005-anna-has-two-keys"
    deadline = time.monotonic() + 300
    while any(one["state"] in ("waiting", "running") for one in session.state()["jobs"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for name in ("004-anna", "005-anna-has-two-keys"):
        assert ip.load(out / name / "explanation.interplay").faithfulness.exact
