"""What a run leaves in its folder: the explanation, its page, and the store."""

from __future__ import annotations

from pathlib import Path

from interplay.drill import Drilled
from interplay.explanation import FILE, Explanation, load
from interplay.game import PlannedGame, fingerprint_of

STORE = "ablations.db"
PAGE = "explanation.html"


def write(found: Explanation | Drilled, folder: Path) -> Path:
    """Save what was found and its page into a folder; returns the page."""
    if isinstance(found, Drilled):
        found.save(folder)
    else:
        found.save(folder / FILE)
    return found.to_html(folder / PAGE)


def finest(found: Explanation | Drilled) -> Explanation:
    """The explanation, or the finest of several."""
    return found.finest if isinstance(found, Drilled) else found


def refuse_another(game: PlannedGame, known: Path) -> None:
    """Refuse to replace what is known of another game, before anything is paid for."""
    if not known.exists():
        return
    provenance = load(known).provenance["game"]
    there, here = provenance["fingerprint"], fingerprint_of(game)
    if there == here:
        return
    old, new = provenance["description"], game.describe()
    differ = ", ".join(
        sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    )
    raise ValueError(
        f"{known.parent} holds the explanation of another game, with the fingerprint {there}; this "
        f"one has {here}. They differ in: {differ or 'weights, tokenizer or data'}. Give another "
        "folder by --out, or remove that one"
    )
