"""A plot of an explanation as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from interplay.explanation.explanation import Explanation
from interplay.extensions import nearest
from interplay.plots import style
from interplay.plots.bars import bars
from interplay.plots.beeswarm import beeswarm
from interplay.plots.force import force
from interplay.plots.network import network
from interplay.plots.scores import budget, energy, faithfulness
from interplay.plots.shaded import text
from interplay.plots.upset import upset
from interplay.plots.waterfall import waterfall

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = {
    view.__name__: view
    for view in (
        bars,
        waterfall,
        force,
        network,
        upset,
        text,
        energy,
        faithfulness,
        budget,
        beeswarm,
    )
}
"""What can be drawn of an explanation, by name."""
FORMATS = ("svg", "png")
_DPI = 200


def draw(
    explanation: Explanation,
    path: str | Path,
    *,
    view: str = "bars",
    format: str | None = None,  # noqa: A002
    **options: Any,
) -> Path:
    """Draw a view of an explanation into a file, SVG or PNG.

    The same explanation gives the same bytes, with the same version of matplotlib.

    Args:
        explanation: what to draw.
        path: the file. Its folder is made if it is missing.
        view: one of :data:`VIEWS`.
        format: one of :data:`FORMATS`; by default the ending of the path.
        options: as for the plot of that name, such as ``index`` and ``top``.

    Returns:
        The path.

    Raises:
        ValueError: there is no such view or format, or as the plot does.
        MissingDependencyError: matplotlib is not installed.
    """
    path = Path(path)
    format = path.suffix.removeprefix(".").lower() if format is None else format  # noqa: A001
    if format not in FORMATS:
        raise ValueError(f"{path} is neither .svg nor .png; let it end in one of them")
    if view not in VIEWS:
        raise ValueError(
            f"view={view!r} is unknown; choose one of {', '.join(VIEWS)}{nearest(view, VIEWS)}"
        )
    drawn: Any = VIEWS[view]
    result = drawn(explanation, **options)
    page: Figure = result if view == "upset" else result.figure
    path.parent.mkdir(parents=True, exist_ok=True)
    style.save(page, path, format, _DPI)
    return path
