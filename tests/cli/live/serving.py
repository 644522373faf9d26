"""Servers in a thread of the test's process, and raw requests to them."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from starlette.routing import BaseRoute

import interplay as ip
from interplay._types import Json
from interplay.cli.folders import PAGE
from interplay.cli.live.events import Events
from interplay.cli.live.guard import Keys
from interplay.cli.live.server import Listening
from interplay.cli.live.session import Session

FORM: Json = {
    "text": "Anna has two keys. The red key opens the garden. The cat sleeps.",
    "before": "",
    "after": "\n\nThe red key opens the",
    "by": "sentence",
    "target": "prob",
    "response": " garden",
    "against": "",
    "budget": None,
}
"""What the studio's page sends of a prompt of three sentences."""


@contextmanager
def serving(routes: Sequence[BaseRoute], session: Session) -> Iterator[Keys]:
    """The routes at a port of the loopback, while the context lasts."""
    listening = Listening()
    listening.socket.listen()  # a request that comes before the server has begun waits
    thread = threading.Thread(target=listening.serve, args=(routes, session))
    thread.start()
    try:
        yield listening.keys
    finally:
        listening.end()
        thread.join(60)
        assert not thread.is_alive()


def new_session() -> Session:
    return Session(Events())


def game_of(n_players: int = 9) -> ip.FunctionGame:
    """Two redundant players, and three that matter together."""

    def f(masks: Any) -> Any:
        together = masks[:, 4] & masks[:, 5] & masks[:, 6]
        return 1.0 * (masks[:, 0] | masks[:, 1]) + 0.5 * together + 0.01 * masks.sum(axis=1)

    return ip.FunctionGame(f, n_players, fingerprint=f"live {n_players}")


def folder_of(folder: Path, budget: int = 80) -> Path:
    """The folder of a run of that game, as a command writes it, but for its recipe."""
    explanation = ip.explain(game_of(), budget=budget, store=folder / "ablations.db")
    explanation.save(folder / "explanation.interplay")
    explanation.to_html(folder / PAGE)
    return folder


def ask(
    keys: Keys,
    path: str,
    body: Any = None,
    *,
    cookie: str | None = None,
    method: str | None = None,
    **headers: str | None,
) -> tuple[int, dict[str, str], str]:
    """A request as the page sends it, but for what is given: ``None`` leaves a header out."""
    host = f"{keys.host}:{keys.port}"
    usual: dict[str, str | None] = {
        "host": host,
        "cookie": f"{keys.name}={keys.cookie if cookie is None else cookie}",
    }
    if body is not None:
        usual |= {"origin": f"http://{host}", "content-type": "application/json"}
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    text = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if text is not None:
        usual["content-length"] = str(len(text))
    connection = http.client.HTTPConnection(keys.host, keys.port, timeout=60)
    connection.putrequest(
        method or ("GET" if body is None else "POST"),
        path,
        skip_host=True,
        skip_accept_encoding=True,
    )
    for name, value in usual.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(text)
    response = connection.getresponse()
    read = response.read().decode()
    connection.close()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, read


def values_without(removed: Sequence[int], n_players: int = 9) -> float:
    mask = np.ones((1, n_players), dtype=bool)
    mask[0, list(removed)] = False
    return float(game_of(n_players)(mask)[0])
