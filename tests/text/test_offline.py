"""Nothing is asked of the model hub that was not allowed."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from interplay.text import load_model


def test_a_name_is_not_looked_up_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the model nor the library's own greeting leaves the machine."""
    asked: list[object] = []

    def refuse(*address: Any, **_: Any) -> Any:
        asked.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(
        ValueError, match=r"'nobody/nothing-of-this-name' is neither .*--allow-down"
    ):
        load_model("nobody/nothing-of-this-name", download=False)
    assert asked == []
