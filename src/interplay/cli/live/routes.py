"""The routes of runs and of the studio: what pages ask, and what is answered."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypedDict

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from interplay._types import check, shown
from interplay.cli.live.drafts import UNITS, Draft, examples
from interplay.cli.live.guard import TooLargeError, TooSlowError, json_of, read_json, refused
from interplay.cli.live.run import Run
from interplay.cli.live.session import BusyError, EndingError, Session
from interplay.cli.live.studio import Studio
from interplay.errors import InterplayError
from interplay.report.bundle import bundle
from interplay.report.document import script_json
from interplay.report.html import page, template_of

_STATUS: dict[type[Exception], int] = {
    TooSlowError: 408,
    TooLargeError: 413,
    BusyError: 429,
    EndingError: 503,
}

Handler = Callable[[Request], Awaitable[Response]]


class _Part(TypedDict):
    part: int


class Asked(_Part):
    """The body of a question."""

    removed: list[int]


class Confirmed(_Part, total=False):
    """The body of a request to confirm."""

    players: list[int]
    top: int


class _Goal(TypedDict):
    until: float


class More(_Goal, total=False):
    """The body of a request for more ablations."""

    budget: int | None


class Kept(_Part):
    """The body of a request to keep answers."""


class Stopped(TypedDict):
    """The body of a request to stop a job."""

    job: int


async def body(request: Request, kind: Any) -> Any:
    """The JSON body of a request, of a type.

    Raises:
        ValueError: it is of another.
    """
    document = await read_json(request.receive)
    check(document, kind, "the request")
    if unknown := sorted(document.keys() - kind.__annotations__.keys()):
        raise ValueError(f"the request has {shown(unknown[0])}, which nothing reads")
    return document


def answered(handler: Handler) -> Handler:
    """A handler whose errors are answers in words; a defect is printed where the server runs."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except (ValueError, OSError, InterplayError) as error:
            return refused(error, _STATUS.get(type(error), 400))
        except Exception as error:
            traceback.print_exc()
            return refused(error, 500)

    return answer


def served(html: str, policy: str) -> HTMLResponse:
    """A page with its policy."""
    headers = {"content-security-policy": f"{policy}; frame-ancestors 'none'"}
    return HTMLResponse(html, headers=headers)


def of_run(prefix: str, run_of: Callable[[Request], Run], session: Session) -> list[Route]:
    """The routes of a run: its page, and what the page asks.

    Args:
        prefix: before each path, such as ``"/"``.
        run_of: the run that a request is about; a ValueError if there is none.
        session: does what takes time.
    """
    pages: dict[tuple[str, str], str] = {}
    warm: set[str] = set()

    @answered
    async def show(request: Request) -> Response:
        run = run_of(request)
        key, scripts = (run.name, run.version), bundle("live")
        if key not in pages:
            for old in [known for known in pages if known[0] == run.name]:
                del pages[old]
            pages[key] = await asyncio.to_thread(page, run.parts(), scripts)
        return served(pages[key], scripts.policy)

    @answered
    async def state(request: Request) -> Response:
        run = run_of(request)
        if run.name not in warm:
            warm.add(run.name)
            with suppress(BusyError, EndingError):  # then the first answer is slow
                session.ask(run.warm_up)
        return json_of(run.to_json())

    @answered
    async def ask(request: Request) -> Response:
        run, asked = run_of(request), await body(request, Asked)
        answer = session.ask(lambda: run.ask(asked["part"], asked["removed"]))
        return json_of(await asyncio.wrap_future(answer))

    @answered
    async def confirm(request: Request) -> Response:
        run, asked = run_of(request), await body(request, Confirmed)
        return json_of((await asyncio.to_thread(run.confirm, **asked)).to_json())

    @answered
    async def more(request: Request) -> Response:
        run, asked = run_of(request), await body(request, More)
        return json_of(run.more(**asked).to_json())

    @answered
    async def keep(request: Request) -> Response:
        run, asked = run_of(request), await body(request, Kept)
        return json_of(run.keep(**asked).to_json())

    return [
        Route(prefix, show),
        Route(f"{prefix}api/state", state),
        Route(f"{prefix}api/ask", ask, methods=["POST"]),
        Route(f"{prefix}api/confirm", confirm, methods=["POST"]),
        Route(f"{prefix}api/more", more, methods=["POST"]),
        Route(f"{prefix}api/keep", keep, methods=["POST"]),
        *_of_session(prefix, run_of, session),
    ]


def _of_session(prefix: str, of: Callable[[Request], object], session: Session) -> list[Route]:
    """The routes of what is asked of no run in particular.

    Args:
        prefix: before each path.
        of: raises a ValueError if nothing is there.
        session: does what takes time.
    """

    @answered
    async def events(request: Request) -> Response:
        of(request)
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 12 else None
        stream = session.events.stream(session.state, after)
        return StreamingResponse(stream, media_type="text/event-stream")

    @answered
    async def stop(request: Request) -> Response:
        of(request)
        asked = await body(request, Stopped)
        return json_of(session.stop(asked["job"]).to_json())

    return [
        Route(f"{prefix}api/events", events),
        Route(f"{prefix}api/stop", stop, methods=["POST"]),
    ]


def of_studio(studio: Studio, session: Session) -> list[BaseRoute]:
    """The routes of the studio: its page, what that asks, and its runs."""

    def run_of(request: Request) -> Run:
        return studio.opened(request.path_params["name"])

    @answered
    async def show(request: Request) -> Response:
        scripts = bundle("studio")
        facts = {
            "read_only": studio.read_only,
            "model": studio.model_name,
            "units": list(UNITS),
            "examples": examples(),
        }
        html = template_of("studio.html").render(
            policy=scripts.policy,
            script=Markup(scripts.script),
            style=Markup(scripts.style),
            data=Markup(script_json(facts)),
        )
        return served(html, scripts.policy)

    @answered
    async def history(request: Request) -> Response:
        return json_of(await asyncio.to_thread(studio.history))

    @answered
    async def players(request: Request) -> Response:
        draft = Draft.of(await read_json(request.receive))
        return json_of(await asyncio.to_thread(studio.players, draft))

    @answered
    async def plan(request: Request) -> Response:
        draft = Draft.of(await read_json(request.receive))
        return json_of(await asyncio.wrap_future(session.ask(lambda: studio.plan(draft))))

    @answered
    async def run(request: Request) -> Response:
        draft = Draft.of(await read_json(request.receive))
        return json_of((await asyncio.to_thread(studio.run, draft)).to_json())

    return [
        Route("/", show),
        Route("/api/history", history),
        Route("/api/players", players, methods=["POST"]),
        Route("/api/plan", plan, methods=["POST"]),
        Route("/api/run", run, methods=["POST"]),
        *_of_session("/", lambda request: None, session),
        *of_run("/run/{name}/", run_of, session),
    ]
