"""Who may talk to the server: whoever has the address that was printed, from a page of this server.

A browser sends requests for every page that it shows, so that listening on this machine alone
protects nothing. Therefore:

- the address has a random token. It is compared in constant time, and answered with a cookie that
  no script reads (``HttpOnly``) and no other site's page sends (``SameSite=Strict``). Everything
  else needs that cookie;
- the ``Host`` of every request must be the server's: a name that an attacker points to this machine
  (DNS rebinding) is refused;
- what changes or evaluates something must have the server's own ``Origin``, and be JSON;
- requests are small, and answers say that no other page may frame, read or sniff them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interplay._types import Json, parse, plain, visible

LARGEST_REQUEST = 256 << 10
"""The most bytes of a request's body."""
MOST_SECONDS = 30.0
"""How long the body of a request may take to arrive."""
_LARGEST_TARGET = 4 << 10
"""The most bytes of the path and query of a request."""
_SAFE_METHODS = ("GET", "HEAD")
_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_ENTER = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
    '<title>Interplay</title><p><a href="/">Interplay</a>'
)
"""A page of this server that leads on: the browser sends a strict cookie from there, which it does
not after a redirect of a link in another program."""


@dataclass(frozen=True)
class Keys:
    """The secrets of a server and the address that it has.

    Attributes:
        host: as it stands in the address.
        port: its port.
        token: stands in the address that is printed.
        cookie: the value of the cookie.
    """

    host: str
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def name(self) -> str:
        """The name of the cookie: browsers do not keep those of two ports apart."""
        return f"interplay-{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What ``Host`` may be."""
        names = {self.host, "localhost"} if self.host == "127.0.0.1" else {self.host}
        return tuple(f"{name}:{self.port}" for name in sorted(names))

    @property
    def address(self) -> str:
        """What a person opens, with the token."""
        return f"http://{self.host}:{self.port}/?token={self.token}"


class Guard:
    """Refuses whatever is not of this server's own page; an ASGI middleware.

    Args:
        app: what answers the others.
        keys: the secrets.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("content-security-policy", _NOTHING)
            await send(message)

        if scope["type"] != "http":  # a web socket, which nothing here speaks
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, safely)
        else:
            await self._app(scope, receive, safely)

    def _refusal(self, scope: Scope) -> Response | None:
        """The response to a request that is not handed on; ``None``: it is."""
        headers, keys = Headers(scope=scope), self._keys
        if len(scope["raw_path"]) + len(scope["query_string"]) > _LARGEST_TARGET:
            return PlainTextResponse("the address is too long", 414)
        if headers.getlist("host") not in [[host] for host in keys.hosts]:
            return PlainTextResponse("this server has another name", 421)
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and scope["path"] != "/":
            return PlainTextResponse("only pages of this server may ask it", 403)
        if scope["method"] not in _SAFE_METHODS:
            origins = [f"http://{host}" for host in keys.hosts]
            if headers.getlist("origin") not in [[origin] for origin in origins]:
                return PlainTextResponse("only pages of this server may ask it", 403)
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return PlainTextResponse("a request is JSON", 415)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] == "/" and scope["method"] == "GET" and len(given) == 1:
            if not _equal(given[0], keys.token):
                return PlainTextResponse("that is not the address that was printed", 403)
            response = HTMLResponse(_ENTER)
            response.set_cookie(keys.name, keys.cookie, path="/", httponly=True, samesite="strict")
            return response
        if not any(_equal(value, keys.cookie) for value in _cookies(headers, keys.name)):
            return PlainTextResponse(
                "Open the address that was printed where interplay was started.", 403
            )
        return None


def _equal(given: str, secret: str) -> bool:
    """Whether two texts are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _cookies(headers: Headers, name: str) -> list[str]:
    """The values of the cookies of a name."""
    pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
    return [value for key, _, value in pairs if key == name]


class TooLargeError(ValueError):
    """A request is larger than one may be."""


class TooSlowError(ValueError):
    """A request did not arrive in time."""


async def read_json(receive: Receive) -> Json:
    """The body of a request: a JSON object within :data:`LARGEST_REQUEST`.

    Raises:
        TooLargeError: it is too large.
        TooSlowError: it did not arrive within :data:`MOST_SECONDS`.
        ValueError: it is not that.
    """
    try:
        async with asyncio.timeout(MOST_SECONDS):
            body = await _whole(receive)
    except TimeoutError:
        raise TooSlowError(f"the request took more than {MOST_SECONDS:g} s to arrive") from None
    try:
        document: Any = parse(body)
    except ValueError as error:
        raise ValueError(f"the request cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ValueError("the request is not a JSON object")
    return document


async def _whole(receive: Receive) -> bytes:
    """The body of a request, unless it is too large."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ValueError("the browser has gone")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LARGEST_REQUEST:
            raise TooLargeError(
                f"the request is above the {LARGEST_REQUEST:,} bytes that one may have"
            )
    return bytes(body)


def refused(error: BaseException, status: int = 400) -> JSONResponse:
    """The response to a request that cannot be done, with what to do in words."""
    return JSONResponse({"error": visible(str(error))[:2_000]}, status)


def json_of(value: Json) -> Response:
    """A JSON response with null for NaN, which browsers cannot read."""
    return Response(json.dumps(plain(value), allow_nan=False), media_type="application/json")
