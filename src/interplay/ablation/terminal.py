"""What reaches a terminal: text, and nothing that a terminal would act on.

Names of players, answers of servers, contents of files and messages of exceptions may hold escape
sequences, links, or characters that turn their neighbours around. All printing goes through
:class:`Terminal`, which shows such characters by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from interplay._types import HIDDEN, visible


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
            if segment.control or not HIDDEN.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)
