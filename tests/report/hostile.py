"""A small game whose players' names are full of markup."""

from __future__ import annotations

import interplay as ip

HOSTILE = ['<script>alert("x")</script>', "a & b", "<img src=x onerror=alert(1)>", "'\"><b>"]


def hostile_game() -> ip.FunctionGame:
    return ip.FunctionGame(
        lambda masks: masks[:, 0] * 1.0 + 2.0 * (masks[:, 1] & masks[:, 2]) - masks[:, 3],
        len(HOSTILE),
        players=HOSTILE,
    )
