"""The server: how it starts and ends."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from interplay.ablation.progress import say
from interplay.cli.live.events import Events
from interplay.cli.live.guard import Guard, Keys
from interplay.cli.live.session import Session

_CLOSING_SECONDS = 3
"""How long answers that are under way may take when the server ends."""
_MOST_CONNECTIONS = 100


class _Server(uvicorn.Server):
    """Uvicorn's server; when it ends, streams that would never end are ended first."""

    events: Events
    listens: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.listens()

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

    def serve(
        self,
        routes: Sequence[BaseRoute],
        session: Session,
        *,
        announce: Callable[[str], None] | None = None,
        show: bool = False,
    ) -> None:
        """Serve until Ctrl-C. The job that runs then ends after the ablations in flight.

        Args:
            routes: what is served.
            session: whose thread evaluates; it is closed at the end.
            announce: is told the address, when it is answered there.
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

            def listens() -> None:
                if announce is not None:
                    announce(self.keys.address)
                if show:
                    _open(self.keys.address, Path(private))

            server.listens = listens
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
