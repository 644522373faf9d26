"""The server: its routes, and how it starts and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any, TypedDict

import uvicorn
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from interplay._types import check
from interplay.ablation.progress import say
from interplay.cli.live.drafts import UNITS, Draft, examples
from interplay.cli.live.events import Events
from interplay.cli.live.guard import Guard, Keys, json_of, read_json, refused
from interplay.cli.live.run import Run
from interplay.cli.live.session import BusyError, Session
from interplay.cli.live.studio import Studio
from interplay.errors import InterplayError
from interplay.report.bundle import bundle
from interplay.report.document import script_json
from interplay.report.html import page, template_of

_CLOSING_SECONDS = 3
"""How long answers that are under way may take when the server ends."""
_MOST_CONNECTIONS = 100
_SHARED = ("/api/events", "/api/stop")
"""What is asked of no run in particular."""

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
        raise ValueError(f"the request has {unknown[0]!r}, which nothing reads")
    return document


def answered(handler: Handler) -> Handler:
    """A handler whose errors that a user can mend are answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except BusyError as error:
            return refused(error, 503)
        except (ValueError, OSError, InterplayError, asyncio.CancelledError) as error:
            return refused(error)

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
            session.ask(run.warm_up)
        return json_of(run.to_json())

    async def events(request: Request) -> Response:
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 12 else None
        stream = session.events.stream(session.state, after)
        return StreamingResponse(stream, media_type="text/event-stream")

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
    async def stop(request: Request) -> Response:
        asked = await body(request, Stopped)
        return json_of(session.stop(asked["job"]).to_json())

    return [
        Route(prefix, show),
        Route(f"{prefix}api/state", state),
        Route(f"{prefix}api/events", events),
        Route(f"{prefix}api/ask", ask, methods=["POST"]),
        Route(f"{prefix}api/confirm", confirm, methods=["POST"]),
        Route(f"{prefix}api/more", more, methods=["POST"]),
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

    shared = [route for route in of_run("/", run_of, session) if route.path in _SHARED]
    return [
        Route("/", show),
        Route("/api/history", history),
        Route("/api/players", players, methods=["POST"]),
        Route("/api/plan", plan, methods=["POST"]),
        Route("/api/run", run, methods=["POST"]),
        *shared,
        *of_run("/run/{name}/", run_of, session),
    ]


class _Server(uvicorn.Server):
    """Uvicorn's server; when it ends, streams that would never end are ended first."""

    events: Events

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.events.end()
        super().handle_exit(signal.SIGINT, frame)  # SIGTERM too is to store what there is


class Listening:
    """A socket of this machine, and the secrets of what is served there.

    Args:
        host: an address of this machine.
        port: 0: any that is free.

    Raises:
        ValueError: it is not one address, or cannot be listened at.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        try:
            family, *_, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            if ip_address(str(found[0]).partition("%")[0]).is_unspecified:
                raise ValueError(
                    f"--host {host} is every address of this machine, so that requests to other "
                    "names could not be told apart; give one of them, such as --host 192.168.1.5"
                )
            self.socket = socket.socket(family)
            if os.name != "nt":
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.socket.bind((host, port))
            except BaseException:
                self.socket.close()
                raise
        except (OSError, OverflowError) as error:
            raise ValueError(f"nothing can listen at {host}, port {port}: {error}") from error
        shown = f"[{host}]" if ":" in host else host.lower()
        self.keys = Keys(shown, self.socket.getsockname()[1])
        self._server: _Server | None = None

    def serve(self, routes: Sequence[BaseRoute], session: Session, *, show: bool = False) -> None:
        """Serve until Ctrl-C. The job that runs then ends after the ablations in flight.

        Args:
            routes: what is served.
            session: whose thread evaluates; it is closed at the end.
            show: open the address in this machine's browser.
        """
        app = Starlette(routes=list(routes))
        config = uvicorn.Config(
            Guard(app, self.keys),
            access_log=False,  # the address holds the token
            date_header=False,
            server_header=False,
            lifespan="off",
            limit_concurrency=_MOST_CONNECTIONS,
            log_level="warning",
            timeout_graceful_shutdown=_CLOSING_SECONDS,
            ws="none",
        )
        self._server = server = _Server(config)
        server.events = session.events
        with tempfile.TemporaryDirectory() as private:
            if show:
                _open(self.keys.address, Path(private))
            try:
                server.run(sockets=[self.socket])
            except KeyboardInterrupt:
                pass
            finally:
                self.socket.close()
        if session.is_at_work:
            say("Ending after the ablations in flight. Ctrl-C again stops at once.")
        session.close()

    def end(self) -> None:
        """End serving from another thread, as Ctrl-C does."""
        if self._server is not None:
            self._server.events.end()
            self._server.should_exit = True


def _open(address: str, private: Path) -> None:
    """Open an address in the browser of this machine, if it has one.

    The browser is given a file that only this user can read: the arguments of a process are seen by
    everybody.
    """
    path = private / "open.html"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={address}">\n')
    webbrowser.open(path.as_uri())
