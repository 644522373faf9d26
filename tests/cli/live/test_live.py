"""Live pages in Debian's chromium, with the packaged model behind them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import interplay as ip
from interplay.cli.folders import write
from interplay.cli.live.answers import Answers
from interplay.cli.live.guard import Keys
from interplay.cli.live.routes import of_run, of_studio
from interplay.cli.live.run import Run
from interplay.cli.live.session import Session
from interplay.cli.live.studio import Studio
from interplay.cli.text import TextOptions
from interplay.cli.trust import TYPED
from tests.cli.live.serving import FORM, ask, new_session, serving
from tests.report.conftest import browser  # noqa: F401
from tests.report.tabs import NEEDS_CHROMIUM
from tests.report.test_browser_head import AXE

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
def opened(
    browser: Any,  # noqa: F811
    keys: Keys,
    width: int = 1280,
    **settings: Any,
) -> Iterator[Any]:
    """A page of a browser of its own that must log nothing and break no policy."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
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
    # the console names refusals, which the page shows, and without a policy a missing icon
    refusals = [line for line in trouble if "status of 40" in line]
    assert trouble == (refusals if settings else [])
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


def test_answers_are_kept(browser: Any, served: Served) -> None:  # noqa: F811
    file = served.folder / "explanation.interplay"
    used = ip.load(file).ablations.masks.tolist()
    removed = next(
        list(chosen)
        for chosen in combinations(range(served.game.n_players), 3)
        if [player not in chosen for player in range(served.game.n_players)] not in used
    )
    with opened(browser, served.keys) as page:
        keep = page.get_by_role("button", name="Keep the")
        for number in removed:
            page.locator("[role=checkbox]").nth(number).click()
        page.wait_for_selector(".live .told:has-text('Without 3') .measured")
        keep.click()
        page.wait_for_selector(".jobs [data-state=done]:has-text('Keep')")
        page.wait_for_selector(".live button:disabled:has-text('Keep the answers')")  # renewed
        page.wait_for_selector(".live .told:has-text('Without 3') .measured")  # it still is removed
    kept = ip.load(file)
    assert kept.asked is not None
    assert game_mask(served.game.n_players, removed)[0].tolist() in kept.asked.masks.tolist()
    assert kept.asked.values == pytest.approx(served.game(kept.asked.masks), rel=1e-4)


def faults(page: Any, state: str) -> list[Any]:
    """What axe-core and a narrow window find wrong with a page, in both colours."""
    found: list[Any] = []
    for width in (1400, 390):
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append((state, width, "wider than the window"))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.evaluate(AXE.read_text(encoding="utf-8"))
            violations = page.evaluate("axe.run().then(result => result.violations)")
            found += [
                (state, width, scheme, one["id"], node["html"][:160])
                for one in violations
                for node in one["nodes"][:2]
            ]
    return found


NEEDS_AXE = pytest.mark.skipif(not AXE.exists(), reason="no axe-core: `npm ci` in report/web")


@NEEDS_AXE
def test_axe_finds_nothing_on_a_live_page(browser: Any, served: Served) -> None:  # noqa: F811
    with opened(browser, served.keys, bypass_csp=True) as page:
        found = faults(page, "opened")
        page.locator("[role=checkbox]").nth(2).click()
        page.wait_for_selector(".live .measured")
        page.mouse.move(0, 0)
        found += faults(page, "answered")
        page.locator(".live input").fill("7")
        page.get_by_role("button", name="More ablations").click()
        page.wait_for_selector(".live .error:not(:empty)")
        found += faults(page, "refused")
    assert found == []


def test_two_browsers_confirm_and_add_ablations(browser: Any, served: Served) -> None:  # noqa: F811
    file = served.folder / "explanation.interplay"
    with opened(browser, served.keys) as page, opened(browser, served.keys, 390) as other:
        assert other.evaluate("document.documentElement.scrollWidth") <= 390
        spent = ip.load(file).provenance["budget"]["spent"]
        page.locator(".live").get_by_role("button", name="Confirm the strongest 5").click()
        for one in (page, other):  # who did not ask sees it too, and the page that comes of it
            over = one.wait_for_selector(
                ".jobs li:has-text('Confirm'):is([data-state=done], [data-state=failed])"
            )
            assert "Of 5 interactions" in over.inner_text()
            renew = one.get_by_role("button", name="Show them")
            if renew.count():
                renew.click()
        assert ip.load(file).confirmation is not None
        page.wait_for_selector("table.confirmed", state="attached")
        other.locator(".live input").fill("1")
        other.get_by_role("button", name="More ablations").click()
        page.wait_for_selector(".jobs li:has-text('More')")
        page.wait_for_selector(".jobs li:has-text('More')[data-state=done]")
        other.wait_for_selector(".jobs li:has-text('More')[data-state=done]")
        assert ip.load(file).provenance["budget"]["spent"] > spent
        assert ip.load(file).provenance["until"]["goal"] == 1.0


@NEEDS_AXE
def test_axe_finds_nothing_in_the_studio(
    browser: Any,  # noqa: F811
    studio: tuple[Keys, Path],
) -> None:
    with opened(browser, studio[0], bypass_csp=True) as page:
        found = faults(page, "empty")
        page.get_by_label("Text: its parts").fill(f"{TEXT} A <b>tag</b>.")
        page.get_by_label("Fixed words after it").fill("The red key opens the")
        page.get_by_label("Answer (empty").fill(" garden")
        page.get_by_label("Most ablations").fill("5")
        page.wait_for_selector(".error:has-text('between 10')")
        found += faults(page, "refused")
        page.get_by_label("Most ablations").fill("100")
        page.wait_for_selector(".plan[data-ablations='100']")
        assert "<b>tag</b>" in page.locator(".players").inner_text()  # a text, no markup
        assert page.locator(".players b").count() == 0
        found += faults(page, "planned")
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_selector(".jobs [data-state=running]")
        found += faults(page, "running")
        page.wait_for_selector("a.open")
        page.wait_for_selector(".history [data-run]")
        found += faults(page, "done")
        page.locator(".history a").first.click()
        page.wait_for_selector("html[data-live]")
        found += faults(page, "its page")
    assert found == []


LONGER = FORM | {"text": TEXT, "budget": 128}


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
    before = set(out.iterdir())
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
        (name,) = [place.name for place in set(out.iterdir()) - before]
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
    job = json.loads(ask(keys, "/api/run", LONGER | {"text": twice, "budget": 2000})[2])
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
            status, _, text = ask(keys, path, LONGER | change)
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
            assert "--read-only" in ask(keys, path, LONGER)[2]
        question = {"part": 0, "removed": [0]}
        assert "--read-only" in ask(keys, f"/run/{runs[0]['name']}/api/ask", question)[2]
    made.close()
