"""Who is refused: everybody but pages of the server itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import interplay as ip
from interplay.cli.live.answers import Answers
from interplay.cli.live.guard import LARGEST_REQUEST, Keys
from interplay.cli.live.routes import of_run
from interplay.cli.live.run import Run
from interplay.cli.live.server import Listening
from interplay.cli.open import _made, require_live
from interplay.cli.trust import UNTRUSTED
from tests.cli.live.serving import ask, folder_of, game_of, new_session, serving, values_without


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def keys(folder: Path) -> Iterator[Keys]:
    session = new_session()
    run = Run(folder, session, Answers(lambda: [game_of()], folder / "ablations.db", "text"))
    with serving(of_run("/", lambda request: run, session), session) as keys:
        yield keys


@pytest.fixture(scope="module")
def closed(folder: Path) -> Iterator[Keys]:
    session = new_session()
    run = Run(folder, session)
    with serving(of_run("/", lambda request: run, session), session) as keys:
        yield keys


QUESTION = {"part": 0, "removed": [0, 1]}


def test_the_page_itself_is_answered(keys: Keys) -> None:
    status, headers, page = ask(keys, "/")
    assert status == 200
    assert "<title>Interplay" in page
    policy = headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers
    assert keys.token not in page
    assert keys.cookie not in page
    status, _, text = ask(keys, "/api/ask", QUESTION)
    assert status == 200
    assert json.loads(text)["values"] == [pytest.approx(values_without([0, 1]))]


def test_the_address_gives_a_strict_cookie_that_no_script_reads(keys: Keys) -> None:
    status, headers, page = ask(keys, f"/?token={keys.token}", cookie="")
    assert status == 200
    assert keys.cookie in headers["set-cookie"]
    assert "HttpOnly" in headers["set-cookie"]
    assert "samesite=strict" in headers["set-cookie"].lower()
    assert keys.token not in page
    assert keys.token not in repr(keys)


@pytest.mark.parametrize("path", ["/", "/api/state", "/api/events"])
@pytest.mark.parametrize("cookie", ["", "x", "é"])
def test_without_the_cookie_nothing_is_told(keys: Keys, path: str, cookie: str) -> None:
    status, headers, text = ask(keys, path, cookie=cookie.encode().decode("latin-1"))
    assert status == 403
    assert "set-cookie" not in headers
    assert "address that was printed" in text


@pytest.mark.parametrize("token", ["", "x", "%00", "é"])
def test_a_wrong_token_gives_no_cookie(keys: Keys, token: str) -> None:
    token = token if token.isascii() else "%C3%A9"
    status, headers, _ = ask(keys, f"/?token={token}", cookie="")
    assert status == 403
    assert "set-cookie" not in headers


def test_another_name_is_refused_before_the_cookie_is_looked_at(keys: Keys) -> None:
    for host in (
        "evil.example",
        f"evil.example:{keys.port}",
        "127.0.0.1",
        f"127.0.0.1:{keys.port}.",
    ):
        assert ask(keys, "/", host=host)[0] == 421, host
        assert ask(keys, f"/?token={keys.token}", host=host)[0] == 421, host
    assert ask(keys, "/", host=f"localhost:{keys.port}")[0] == 200


def test_other_origins_are_refused(keys: Keys) -> None:
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{keys.port + 1}", "", None):
        assert ask(keys, "/api/ask", QUESTION, origin=origin)[0] == 403, origin
    for site in ("cross-site", "same-site"):
        assert ask(keys, "/api/state", sec_fetch_site=site)[0] == 403
    assert ask(keys, "/api/ask", QUESTION, content_type="text/plain")[0] == 415
    assert ask(keys, "/api/ask", QUESTION, method="PUT")[0] == 405
    assert ask(keys, "/api/ask")[0] == 405


def test_requests_are_small_and_of_their_form(keys: Keys) -> None:
    status, _, text = ask(keys, "/api/ask", b" " * (LARGEST_REQUEST + 1))
    assert status == 413
    assert f"{LARGEST_REQUEST:,}" in text
    assert ask(keys, f"/?{'a' * 5000}")[0] == 414
    for body, said in (
        (b"{", "not JSON"),
        ([], "not a JSON object"),
        ({"part": 0}, "removed"),
        ({"part": 0, "removed": [99]}, "from 0 to 8"),
        ({"part": 0, "removed": [-1]}, "from 0 to 8"),
        ({"part": 0, "removed": [1, 1]}, "distinct"),
        ({"part": 0, "removed": [True]}, "a whole number"),
        ({"part": 3, "removed": []}, "no part 3"),
        ({"part": True, "removed": []}, "a whole number"),
        ({"part": 0, "removed": [], "store": "/etc/passwd"}, "'store'"),
        (b'{"part": 0, "part": 0, "removed": []}', "twice"),
        (b'{"part": NaN, "removed": []}', "NaN"),
    ):
        status, _, text = ask(keys, "/api/ask", body)
        assert status == 400, body
        assert said in text, text
    assert "(0, 1]" in ask(keys, "/api/more", {"until": 7})[2]
    assert "at once" in ask(keys, "/api/confirm", {"part": 0, "top": 1000})[2]
    assert "no job 77" in ask(keys, "/api/stop", {"job": 77})[2]
    assert ask(keys, "/run/../../etc/passwd")[0] == 404


def test_read_only_shows_the_page_and_evaluates_nothing(closed: Keys) -> None:
    assert ask(closed, "/")[0] == 200
    assert json.loads(ask(closed, "/api/state")[2])["read_only"]
    for path, body in (
        ("/api/ask", QUESTION),
        ("/api/confirm", {"part": 0, "top": 1}),
        ("/api/more", {"until": 0.9}),
    ):
        status, _, text = ask(closed, path, body)
        assert status == 400
        assert "Nothing is evaluated" in text


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "::"])
def test_every_address_of_the_machine_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="every address of this machine"):
        Listening(host)


def test_it_listens_on_the_loopback_unless_told() -> None:
    listening = Listening()
    with listening.socket:
        assert listening.socket.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match="nothing can listen"):
            Listening(port=99999)


def test_without_the_extra_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interplay.cli.open.find_spec", lambda package: None)
    with pytest.raises(ip.MissingDependencyError, match=r'pip install "interplay\[live\]"'):
        require_live()


def test_a_folder_without_a_recipe_is_for_read_only(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"has no recipe\.json.*--read-only"):
        _made(folder, UNTRUSTED)
