"""Static plots of explanations, for papers and notebooks. Needs matplotlib: the extra ``plot``.

=================  =========================================================================
``text``           the prompt, each segment shaded by its own effect
``waterfall``      contributions as steps from the value of nothing to that of everything
``force``          the same as one bar, pushed from both sides
``beeswarm``       the effects of the same players in many explanations
``bars``           the strongest interactions, with their intervals where there are any
``network``        the players of the strongest interactions on a circle, joined by them
``upset``          the strongest interactions in columns, their players in rows
``energy``         the share of the variation at each order
``faithfulness``   predicted against actual, on ablations that took no part in the fit
``budget``         the held-out score of fits to fewer of the ablations
=================  =========================================================================

``draw(explanation, "a.svg", view="waterfall")`` writes one of them as SVG or PNG, as
``explanation.to_svg`` and ``to_png`` do.

Each returns the matplotlib ``Axes`` that it drew on (``upset`` the ``Figure``); most take ``ax=``.
Blue raises the score, orange lowers it. Numbers are the players', as the keys of interactions have
them.
"""

from interplay.plots.bars import bars
from interplay.plots.beeswarm import beeswarm
from interplay.plots.files import draw
from interplay.plots.force import force
from interplay.plots.network import network
from interplay.plots.scores import budget, energy, faithfulness
from interplay.plots.shaded import text
from interplay.plots.upset import upset
from interplay.plots.waterfall import waterfall

__all__ = [
    "bars",
    "beeswarm",
    "budget",
    "draw",
    "energy",
    "faithfulness",
    "force",
    "network",
    "text",
    "upset",
    "waterfall",
]
