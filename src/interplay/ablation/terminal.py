"""What reaches a terminal: text, and nothing that a terminal would act on.

Names of players, answers of servers, contents of files and messages of exceptions may hold escape
sequences, links, or characters that turn their neighbours around. All printing goes through
:class:`Terminal`, which shows such characters by their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""A text in which characters that cannot be seen, or reorder their neighbours, are named.

    These are the control characters (C0 and C1, which begin escape sequences), bidirectional
    controls, separators and halves of characters. Line breaks, tabs and the joiners of emoji and of
    scripts stay as they are.

    Example:
        >>> visible("a\x1b[31mb")
        'a⟨U+001B⟩[31mb'
    """
    return _HIDDEN.sub(lambda match: f"\u27e8U+{ord(match[0]):04X}\u27e9", text)


class Terminal(Console):
    """A console that prints every text by :func:`visible`, wherever in a table it stands."""

    def render_str(self, text: str, **settings: Any) -> Text:
        """Make a text visible before it is measured, so that tables leave room for it."""
        return super().render_str(visible(text), **settings)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Render as ever, and make each text visible: styles are apart from texts."""
        return self._visible(super().render(renderable, options))

    def _visible(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        for segment in segments:
            if segment.control or not _HIDDEN.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)
