"""Hierarchical refinement of games in which it is known which coarse players matter."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray

WORDS = 6


class Paragraphs:
    """Paragraphs of six words each; some are cut into words. The value is of words only."""

    def __init__(self, n_paragraphs: int, cut: tuple[int, ...] = (), noise: float = 0.0) -> None:
        self.n_paragraphs, self.cut, self.noise = n_paragraphs, cut, noise
        self.owned: list[list[int]] = []
        for paragraph in range(n_paragraphs):
            words = [WORDS * paragraph + word for word in range(WORDS)]
            self.owned += [[w] for w in words] if paragraph in cut else [words]
        self.players = [" ".join(map(str, own)) for own in self.owned]
        self.n_players = len(self.owned)
        self.fingerprint = f"paragraphs {n_paragraphs} {cut} {noise}"
        self.asked = 0

    def __call__(self, masks: BoolArray, /) -> FloatArray:
        self.asked += len(masks)
        words = np.zeros((len(masks), WORDS * self.n_paragraphs), dtype=bool)
        for player, own in enumerate(self.owned):
            words[:, own] = masks[:, [player]]
        # words 8 and 9 together, 8 with 27, and a little of everything
        value = 2.0 * (words[:, 8] & words[:, 9]) - 1.5 * (words[:, 8] & words[:, 27])
        return value + self.noise * (words @ np.sin(np.arange(words.shape[1])))

    def refined(self, chosen: Iterable[int], by: Any) -> tuple[Paragraphs, Any]:
        assert by == "word"
        finer = Paragraphs(self.n_paragraphs, tuple(sorted(chosen)), self.noise)
        at = {tuple(own): player for player, own in enumerate(finer.owned)}
        children = tuple(
            (at[tuple(own)],) if tuple(own) in at else tuple(at[(word,)] for word in own)
            for own in self.owned
        )
        return finer, children


@pytest.mark.slow
def test_what_matters_is_cut_and_the_words_are_found(tmp_path: Path) -> None:
    found = ip.text.drill(Paragraphs(20), ["word"], budget=1500)
    assert found.chosen == ((1, 4),)
    assert found.children[0][:3] == ((0,), (1, 2, 3, 4, 5, 6), (7,))
    names = found.finest.players
    top = [
        {names[p] for p in s}
        for s in found.finest.interactions("FSII", order=2).top(2, min_order=2).sets
    ]
    assert top == [{"8", "9"}, {"8", "27"}]
    assert found.finest.faithfulness.r2 > 0.99
    assert sum(found.budgets) == 1500
    first, second = found.save(tmp_path)
    assert ip.load(second).players == names
    assert ip.load(first).provenance["budget"]["planned"] == found.budgets[0]
    assert (
        str(found)
        .splitlines()[0]
        .startswith(f"Level 1: 20 players by unit, {found.budgets[0]} of 1500 abl")
    )
    page = found.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<html") == page.count("</html>") == page.count("<style>") == 1
    assert page.index("Level 2: ") < page.index("Level 1: ") < page.index('id="part1"')
    assert page.count('type="application/json"') == 2


@pytest.mark.slow
def test_small_levels_leave_their_share_to_the_next() -> None:
    found = ip.text.drill(Paragraphs(7), ["word"], budget=900)
    assert found.budgets == (100, 800)
    assert ip.text.drill(Paragraphs(6), ["word"]).budgets[0] == 64


@pytest.mark.slow
def test_no_more_is_cut_than_the_budget_can_resolve(capsys: pytest.CaptureFixture[str]) -> None:
    game = Paragraphs(20, noise=0.8)
    found = ip.text.drill(game, ["word"], budget=200)
    fine = len(found.finest.players)
    assert 4 * fine <= found.budgets[1]
    assert "players that matter are not refined" in " ".join(capsys.readouterr().err.split())


def test_nothing_matters(capsys: pytest.CaptureFixture[str]) -> None:
    class Flat(Paragraphs):
        def __call__(self, masks: BoolArray, /) -> FloatArray:
            return np.ones(len(masks))

    found = ip.text.drill(Flat(9), ["word"], budget=400)
    assert len(found.levels) == 1
    assert "No player matters enough to be refined" in capsys.readouterr().err


def test_an_interrupted_level_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    game = Paragraphs(20)
    plain = Paragraphs.__call__

    def interrupting(self: Paragraphs, masks: BoolArray, /) -> FloatArray:
        if self.asked >= 40:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, masks)

    monkeypatch.setattr(Paragraphs, "__call__", interrupting)
    found = ip.text.drill(game, ["word"], budget=1500, batch_size=20)
    assert len(found.levels) == 1
    assert found.finest.provenance["budget"]["interrupted"]


def test_bad_requests() -> None:
    for levels in ([], "word"):
        with pytest.raises(ValueError, match="is no list of units; give the finer ones"):
            ip.text.drill(Paragraphs(5), levels)
    with pytest.raises(ValueError, match="budget=150 is below 200, 100 for each of 2 levels"):
        ip.text.drill(Paragraphs(5), ["word"], budget=150)
