"""Live pages in Debian's chromium, with the packaged model behind them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from interplay.cli.folders import write
from interplay.cli.live.guard import Keys
from interplay.cli.live.run import Answers, Run
from interplay.cli.live.server import of_run, of_studio
from interplay.cli.live.session import Session
from interplay.cli.live.studio import Studio
from interplay.cli.text import TextOptions
from interplay.cli.trust import TYPED
from tests.cli.live.serving import ask, new_session, serving
from tests.report.conftest import browser  # noqa: F401
from tests.report.tabs import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM
PATIENCE = 120_000
"""Milliseconds for what a page does."""

TEXT = (
    "Anna has two keys. The red key opens the garden. The tin is old. The cat sleeps. "
    "Her note says that the red key opens the garden. Supper is at seven. It rained."
)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> TextOptions:
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text(TEXT)
    return TextOptions(
        model="smollm2",
        file=file,
        question="The red key opens the",
        response=" garden",
        target="prob",
        threads=1,
    )


@pytest.fixture(scope="module")
def made(
    options: TextOptions, smollm: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """The folder of a run, and its game."""
    folder = tmp_path_factory.mktemp("run")
    game = options.game(TYPED, smollm)
    explanation = ip.explain(game, budget=50, decoder="gp", store=folder / "ablations.db")
    write(explanation, folder, "text", asdict(options))
    return folder, game


@dataclass(frozen=True)
class Served:
    keys: Keys
    folder: Path
    session: Session
    game: Any


@pytest.fixture(scope="module")
def served(made: tuple[Path, Any]) -> Iterator[Served]:
    (folder, game), session = made, new_session()
    run = Run(folder, session, Answers(lambda: [game], folder / "ablations.db", "text"))
    with serving(of_run("/", lambda request: run, session), session) as keys:
        yield Served(keys, folder, session, game)


@contextmanager
def opened(browser: Any, keys: Keys, width: int = 1280) -> Iterator[Any]:  # noqa: F811
    """A page of a browser of its own that must log nothing and break no policy."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.add_init_script(
        "addEventListener('securitypolicyviolation', e => console.error(e.violatedDirective))"
    )
    page.goto(keys.address)
    page.wait_for_selector("html[data-live], html[data-ready]:not(:has(.part))")
    assert "token" not in page.url
    yield page
    assert trouble == []
    context.close()


def say_for(game: Any, removed: list[int]) -> float:
    mask = game_mask(game.n_players, removed)
    return float(game(mask)[0])


def game_mask(n_players: int, removed: list[int]) -> Any:
    import numpy as np

    mask = np.ones((1, n_players), dtype=bool)
    mask[0, removed] = False
    return mask


def test_what_is_clicked_away_is_asked_of_the_model(browser: Any, served: Served) -> None:  # noqa: F811
    with opened(browser, served.keys) as page:
        page.locator("[role=checkbox]").nth(1).click()
        page.locator("[role=checkbox]").nth(4).focus()
        page.keyboard.press(" ")  # by keyboard too
        page.wait_for_selector(".live .told:has-text('Without 2') .measured")
        value = float(page.locator(".live .measured").get_attribute("data-value"))
        assert value == pytest.approx(say_for(served.game, [1, 4]), rel=1e-4)
        shown = float(page.locator(".whatif .recorded").get_attribute("data-value"))
        assert shown == value
        assert "predicted" in page.locator(".live .told").inner_text()
        wait = float(page.locator("section.live").get_attribute("data-wait"))
        print(f"click to answer: {wait:.0f} ms")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_two_browsers_confirm_and_add_ablations(browser: Any, served: Served) -> None:  # noqa: F811
    file = served.folder / "explanation.interplay"
    with opened(browser, served.keys) as page, opened(browser, served.keys, 390) as other:
        assert other.evaluate("document.documentElement.scrollWidth") <= 390
        spent = ip.load(file).provenance["budget"]["spent"]
        page.locator(".live").get_by_role("button", name="Confirm the strongest 5").click()
        for one in (page, other):  # who did not ask sees it too, and the page that comes of it
            over = one.wait_for_selector(
                ".jobs [data-job='1']:is([data-state=done], [data-state=failed])"
            )
            assert "Of 5 interactions" in over.inner_text()
            renew = one.get_by_role("button", name="Show them")
            if renew.count():
                renew.click()
        assert ip.load(file).confirmation is not None
        page.wait_for_selector("table.confirmed", state="attached")
        other.locator(".live input").fill("1")
        other.get_by_role("button", name="More ablations").click()
        page.wait_for_selector(".jobs li[data-job='2']")
        page.wait_for_selector(".jobs li[data-job='2'][data-state=done]")
        other.wait_for_selector(".jobs li[data-job='2'][data-state=done]")
        assert ip.load(file).provenance["budget"]["spent"] > spent
        assert ip.load(file).provenance["until"]["goal"] == 1.0


FORM = {
    "text": TEXT,
    "before": "",
    "after": "\n\nThe red key opens the",
    "by": "sentence",
    "target": "prob",
    "response": " garden",
    "against": "",
    "budget": 128,
}


@pytest.fixture(scope="module")
def studio(
    smollm: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Keys, Path]]:
    out, session = tmp_path_factory.mktemp("studio"), new_session()
    model = TextOptions(model="smollm2", threads=1)
    made = Studio(out, model, session, loaded=smollm)
    with serving(of_studio(made, session), session) as keys:
        yield keys, out
    made.close()


def test_from_a_pasted_prompt_to_its_explanation(
    browser: Any,  # noqa: F811
    studio: tuple[Keys, Path],
) -> None:
    keys, out = studio
    with opened(browser, keys) as page:
        page.get_by_label("Text: its parts").fill(TEXT)
        page.get_by_label("Fixed words after it").fill("The red key opens the")
        page.get_by_label("Answer (empty").fill(" garden")
        players = page.get_by_role("combobox", name="Players")
        players.select_option("word")
        page.wait_for_selector("text=/^[0-9]+ players by word/")
        players.select_option("sentence")
        page.get_by_label("Most ablations").fill("128")
        page.wait_for_selector(".plan[data-ablations='128']")
        assert page.locator(".players .segment").count() == 7
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_selector(".curve circle")  # the first look
        page.wait_for_selector("a.open")
        assert page.locator(".curve circle").count() == 2
        assert page.locator(".top tr[data-players]").count()
        (name,) = [place.name for place in out.iterdir()]
        page.wait_for_selector(f"[data-run='{name}']")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        page.locator("a.open").click()
        page.wait_for_selector("html[data-live]")
        page.locator("[role=checkbox]").nth(1).click()
        page.wait_for_selector(".live .measured")
    written = ip.load(out / name / "explanation.interplay")
    assert written.provenance["budget"]["spent"] == 128
    assert written.provenance["answers"]["own_answer"]
    assert json.loads((out / name / "recipe.json").read_text())["command"] == "text"


def test_a_run_that_is_stopped_is_stored_and_usable(studio: tuple[Keys, Path]) -> None:
    keys, out = studio
    twice = f"{TEXT} {TEXT}"  # 14 players: looks at 62, 125, 250, 500, 1,000 and 2,000
    job = json.loads(ask(keys, "/api/run", FORM | {"text": twice, "budget": 2000})[2])
    folder = out / job["where"]
    deadline = time.monotonic() + 300
    while not (folder / "explanation.interplay").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ask(keys, "/api/stop", {"job": job["number"]})[0] == 200
    while state_of(keys, job)["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    ended = state_of(keys, job)
    assert ended["state"] == "stopped", ended
    stopped = ip.load(folder / "explanation.interplay")
    assert 60 < stopped.provenance["budget"]["spent"] < 2000
    assert stopped.faithfulness.known
    runs = json.loads(ask(keys, "/api/history")[2])["runs"]
    assert runs[0]["name"] == job["where"]


def state_of(keys: Keys, job: dict[str, Any]) -> dict[str, Any]:
    runs = json.loads(ask(keys, "/api/history")[2])["runs"]
    path = f"/run/{runs[0]['name']}/api/state"
    jobs = json.loads(ask(keys, path)[2])["jobs"]
    (found,) = [one for one in jobs if one["number"] == job["number"]]
    return dict(found)


def test_the_studio_takes_data_only(studio: tuple[Keys, Path]) -> None:
    keys, out = studio
    before = sorted(out.iterdir())
    for change, said in (
        ({"by": "regex:(a+)+$"}, "one of"),
        ({"model": "/etc"}, "'model'"),
        ({"text": ""}, "no text"),
        ({"text": "a" * 60_000}, "above 50,000"),
        ({"budget": 1}, "between"),
        ({"budget": True}, "a whole number"),
        ({"after": "{text}"}, "stands for the text"),
        ({"target": "logit-difference"}, "two answers"),
        ({"file": "/etc/passwd"}, "'file'"),
    ):
        for path in ("/api/run", "/api/plan", "/api/players"):
            status, _, text = ask(keys, path, FORM | change)
            assert status == 400, change
            assert said in text, text
    for name in ("..", "%2e%2e", "..%2f..%2fetc", "001-nothing", "inputs"):
        status, _, _ = ask(keys, f"/run/{name}/api/state")
        assert status in (400, 404), name
    assert sorted(out.iterdir()) == before


def test_a_read_only_studio_loads_no_model(studio: tuple[Keys, Path]) -> None:
    session = new_session()
    made = Studio(studio[1], TextOptions(model="no/such-model"), session, read_only=True)
    with serving(of_studio(made, session), session) as keys:
        runs = json.loads(ask(keys, "/api/history")[2])["runs"]
        assert runs
        assert ask(keys, f"/run/{runs[0]['name']}/")[0] == 200
        for path in ("/api/run", "/api/plan", "/api/players"):
            assert "--read-only" in ask(keys, path, FORM)[2]
        question = {"part": 0, "removed": [0]}
        assert "--read-only" in ask(keys, f"/run/{runs[0]['name']}/api/ask", question)[2]
    made.close()
