"""Fonts that have the characters of what is drawn.

Matplotlib's own font has the Latin, Greek, Cyrillic, Arabic and Hebrew letters. For others, such as
Chinese, Thai or Devanagari, it draws boxes, although it can take single characters from further
fonts. They are looked for among the fonts of the machine.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_NO_FONTS = ("lastresort", "last resort", "adobe blank", "adobeblank")
"""Fonts that have a box for every character."""
_PREFERRED = ("noto sans", "source han sans", "wenquanyi", "ipagothic", "unifont")
"""The beginnings of the names of fonts to take first, among those that have a character."""
_PACKAGES = {
    "CJK": "fonts-noto-cjk",
    "HIRAGANA": "fonts-noto-cjk",
    "KATAKANA": "fonts-noto-cjk",
    "HANGUL": "fonts-noto-cjk",
}
"""Debian's packages of fonts, by the script; of other scripts it is the last."""
_OTHER_PACKAGE = "fonts-noto-core"
_MARKS = "\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
"""Characters that show nothing, which a font need not have."""


def families(texts: Iterable[str]) -> list[str]:
    """The families of fonts that texts need, matplotlib's own choice first.

    Where no font of the machine has a character, a warning names its script and a package of fonts.

    Args:
        texts: what will be drawn.
    """
    from matplotlib import rcParams

    default = list(rcParams["font.family"])
    wanted = frozenset(
        character
        for text in texts
        for character in text
        if ord(character) > 0x2FF and character not in _MARKS and not character.isspace()
    )
    further, missing = _further(wanted, tuple(default)) if wanted else ((), frozenset())
    if missing:
        _warn(missing)
    return [*default, *further]


@lru_cache(maxsize=256)
def _further(
    wanted: frozenset[str], default: tuple[str, ...]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The families beyond the default ones that characters need, and the characters in none."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    missing = wanted - _characters(findfont(FontProperties(family=list(default))))
    chosen: list[str] = []
    if missing:
        known = {entry.fname: entry for entry in fontManager.ttflist}
        for path in _candidates():
            if here := missing & _characters(path):
                if path not in known:  # installed since matplotlib made its list
                    fontManager.addfont(path)
                    known = {entry.fname: entry for entry in fontManager.ttflist}
                chosen.append(known[path].name)
                missing -= here
            if not missing:
                break
    return tuple(dict.fromkeys(chosen)), missing


@lru_cache(maxsize=1)
def _candidates() -> tuple[str, ...]:
    """The machine's fonts: plain ones first, of these the preferred ones."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    ranks = {}
    for entry in fontManager.ttflist:
        name = entry.name.lower()
        if not name.startswith(_NO_FONTS):
            is_plain = entry.style == "normal" and entry.weight in (400, "normal", "regular")
            ranks[entry.fname] = (not is_plain, not name.startswith(_PREFERRED), name)
    for path in findSystemFonts():
        name = Path(path).stem.lower()
        if path not in ranks and not name.startswith(_NO_FONTS):
            is_plain = not any(style in name for style in ("bold", "italic", "oblique", "mono"))
            ranks[path] = (not is_plain, not name.startswith("noto"), name)
    return tuple(sorted(ranks, key=lambda path: (ranks[path], path)))


@lru_cache(maxsize=512)
def _characters(path: str) -> frozenset[str]:
    """The characters that a font has; none if it cannot be read."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()


def _warn(missing: Iterable[str]) -> None:
    """Warn of characters that no font has, by their scripts."""
    examples: dict[str, str] = {}
    counts = Counter(map(_script, missing))
    for character in sorted(missing):
        examples.setdefault(_script(character), character)
    scripts = ", ".join(
        f"{script.capitalize() if script != 'CJK' else script} ({examples[script]})"
        for script in sorted(counts, key=lambda script: (-counts[script], script))
    )
    packages = " ".join(sorted({_PACKAGES.get(script, _OTHER_PACKAGE) for script in counts}))
    warnings.warn(
        f"no font of this machine has these characters, which will show as boxes: {scripts}; "
        f"install one, such as by `apt install {packages}` or from fonts.google.com/noto",
        stacklevel=4,
    )


def _script(character: str) -> str:
    """The script of a character, by the first word of its Unicode name."""
    return unicodedata.name(character, "unnamed").split(" ")[0].split("-")[0].upper()
