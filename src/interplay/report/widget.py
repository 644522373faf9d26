"""The page in a notebook: the same views, interactive, as a widget of the package anywidget.

Jupyter, VS Code, Colab and marimo import the script as a module and give it an element. It draws
into a shadow root there, so that the page's style and the notebook's leave each other alone.
Nothing is fetched from a network: script, style and data are the widget's traits.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from interplay.errors import MissingDependencyError
from interplay.explanation.explanation import Explanation
from interplay.report.bundle import bundle
from interplay.report.html import fragment


def widget(explanation: Explanation) -> Any:
    """An explanation as a widget.

    Returns:
        An ``anywidget.AnyWidget`` with the traits ``page`` (HTML, everything escaped) and
        ``css``.

    Raises:
        MissingDependencyError: anywidget is not installed.
        FileNotFoundError: this installation's script was not built.
    """
    made: Any = _widget_class()(page=fragment(explanation.title, explanation))
    return made


def displayed(explanation: Explanation) -> Any:
    """The widget as Jupyter displays it, by MIME type; ``None`` if anywidget is not installed."""
    try:
        made = widget(explanation)
    except MissingDependencyError:
        return None
    return made._repr_mimebundle_()


class Static:
    """The compact view, for marimo without anywidget."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _mime_(self) -> tuple[str, str]:
        return "text/html", self._html


def displayed_by_marimo(explanation: Explanation) -> Any:
    """What marimo displays of an explanation: the widget, or the compact view."""
    try:
        return widget(explanation)
    except MissingDependencyError:
        return Static(explanation._repr_html_())


@cache
def _widget_class() -> Any:
    """The class, made when it is first used, since its base is in an optional package."""
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise MissingDependencyError("anywidget", "notebook", "Explanation.widget") from error
    parts = bundle("widget")

    class View(anywidget.AnyWidget):
        """An explanation in a notebook."""

        _esm = parts.script
        page = traitlets.Unicode().tag(sync=True)
        css = traitlets.Unicode(parts.style).tag(sync=True)

    return View
