r"""Whether a player changes next to nothing, over a set of prompts: a test of equivalence.

That no effect was found does not show that there is none. Here the null hypothesis is that the
player does matter, and it takes evidence to reject it.

For a prompt with the value function f and the player a, the change on a background B, a set of
other players that are kept, is

.. math:: d(B) = f(B \cup \{a\}) - f(B).

With an interaction of a and other players it differs between backgrounds, and may be nothing on the
intact input although it is large without some of the others. A prompt therefore counts as *within*
the margin if :math:`|d(B)|` is at most the margin on the intact input and on every one of many
backgrounds that are drawn from a measure.

Of p prompts, k are within. If they are a fair sample, the share of all such prompts that are within
has the exact interval of Clopper and Pearson (1934),

.. math:: [\,B_{\alpha}(k, p-k+1),\; B_{1-\alpha}(k+1, p-k)\,],

with quantiles of beta distributions and :math:`\alpha` = 0.05: two one-sided tests of 5 % each
(Schuirmann 1987), together an interval of 90 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from interplay._arrays import as_columns
from interplay._types import visible, whole
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.confirmation.changes import Change, Equivalence
from interplay.designs.measures import AnyMeasure, Measure, get_measure
from interplay.extensions import BackendName
from interplay.fourier.masks import every_mask
from interplay.game import Game, players_of, repeats_of


def equivalence(
    games: Iterable[Game],
    player: int | str,
    *,
    margin: float,
    share: float = 0.95,
    n_backgrounds: int = 30,
    measure: AnyMeasure = "uniform",
    titles: Iterable[str] | None = None,
    output: int = 0,
    store: str | Path | None = None,
    backend: BackendName | str | Backend = "local",
    random_state: int = 0,
) -> Equivalence:
    """Test whether a player changes next to nothing in nearly all prompts, by fresh ablations.

    Each prompt takes 2 (n_backgrounds + 1) ablations, or all there are if these are fewer. With the
    default of 30 backgrounds, an interaction that shows on an eighth of them, such as one that
    takes the absence of three others, is missed in 2 % of the prompts that have it.

    Args:
        games: one for each prompt, taken one after another.
        player: its number, or its name in every game; of a swap the part before the arrow or the
            name of its group, such as ``"gender"``.
        margin: the largest change of the score that counts as nothing, in its units. Choose it
            before you look at the data.
        share: the share of prompts that must be within the margin.
        n_backgrounds: how many sets of other players are drawn for each prompt, beside the intact
            input; 0: the intact input only, so that interactions are not looked at.
        measure: what they are drawn from; ``"uniform"`` or ``Keep(...)`` for those near the
            intact input.
        titles: the prompts' titles; by default their numbers.
        output: which of several outputs.
        store: as for :func:`interplay.explain`.
        backend: as there.
        random_state: the seed. What is drawn for a prompt depends on its number and its players.

    Raises:
        ValueError: no games, a margin or share out of range, a game without the player, or a random
            game, whose largest change would be that of its noise.

    Example:
        >>> import interplay as ip
        >>> game = ip.FunctionGame(lambda m: 0.01 * m[:, 0] + m[:, 1], n_players=3)
        >>> test = ip.equivalence([game] * 60, 0, margin=0.02)
        >>> test.verdict, [round(end, 3) for end in test.interval]
        ('equivalent', [0.951, 1.0])
        >>> ip.equivalence([game] * 58, 0, margin=0.02).verdict
        'not shown'
    """
    _check(margin, share)
    n_backgrounds = whole("n_backgrounds", n_backgrounds, 0)
    whole("random_state", random_state, 0)
    law = get_measure(measure)
    changes = []
    n_ablations = 0
    named = repeat(None) if titles is None else titles
    for number, (game, title) in enumerate(zip(games, named, strict=titles is not None)):
        if repeats_of(game) > 1:
            raise ValueError(
                f"{game!r} is random, so that its largest change is that of its noise; make its "
                "value deterministic"
            )
        rng = np.random.default_rng([random_state, number])
        shown = f"prompt {number}" if title is None else title
        with Evaluator.of(game, store=store, backend=backend, progress=False) as evaluator:
            change, n_masks = _measured(
                evaluator, _number(game, player), n_backgrounds, law, rng, output, shown
            )
        changes.append(change)
        n_ablations += n_masks
    _check_any(changes)
    return Equivalence(
        str(player), tuple(changes), margin, share, str(law), n_ablations, random_state
    )


def equivalence_of(
    changes: npt.ArrayLike,
    *,
    margin: float,
    share: float = 0.95,
    player: str = "the player",
    titles: Sequence[str] | None = None,
    unit: str = "prompts",
) -> Equivalence:
    """The same test of changes that were measured elsewhere.

    Args:
        changes: ``(p,)``, a change for each prompt; or ``(p, 1 + b)``, on the intact input and on b
            backgrounds.
        margin: as for :func:`equivalence`.
        share: as there.
        player: what was changed.
        titles: the prompts'.
        unit: what there is a change of each, in the plural.

    Raises:
        ValueError: as there; or changes of another shape, or not finite.

    Example:
        >>> equivalence_of([0.001] * 70 + [0.3], margin=0.02).verdict
        'not shown'
    """
    _check(margin, share)
    table = np.asarray(changes, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(
            f"changes of shape {np.shape(changes)} were given; (p,) or (p, 1 + b) finite numbers "
            "are expected"
        )
    names = [f"prompt {row}" for row in range(len(table))] if titles is None else titles
    nobody = np.ones((table.shape[1] - 1, 0), dtype=np.bool_)
    listed = [
        Change.of(title, float(row[0]), row[1:], nobody, (), exhaustive=False)
        for title, row in zip(names, table, strict=True)
    ]
    return Equivalence(player, tuple(listed), margin, share, None, 0, 0, unit)


def _measured(
    evaluator: Evaluator,
    player: int,
    n_backgrounds: int,
    measure: Measure,
    rng: np.random.Generator,
    output: int,
    title: str,
) -> tuple[Change, int]:
    """The change of one prompt, and how many masks it took."""
    names = players_of(evaluator.game)
    n_others = len(names) - 1
    exhaustive = n_others <= 16 and 2**n_others <= n_backgrounds
    others = every_mask(n_others) if exhaustive else measure.draw(n_backgrounds, n_others, rng)
    others = np.vstack([np.ones((1, n_others), dtype=np.bool_), others])
    masks = np.vstack([np.insert(others, player, kept, axis=1) for kept in (True, False)])
    columns = as_columns(evaluator.values(masks))
    if not 0 <= output < columns.shape[1]:
        raise ValueError(
            f"output={output}, but {title} has {columns.shape[1]}; give a number from 0 on"
        )
    kept, removed = columns[:, output].reshape(2, -1)
    other_names = [name for number, name in enumerate(names) if number != player]
    difference = kept - removed
    change = Change.of(
        title, float(difference[0]), difference[1:], others[1:], other_names, exhaustive
    )
    return change, len(np.unique(masks, axis=0))


def _number(game: Game, player: int | str) -> int:
    """The number of a player that is given by number or name."""
    names = players_of(game)
    if isinstance(player, str):
        exact = [number for number, name in enumerate(names) if name == player]
        of_swap = [
            number
            for number, name in enumerate(names)
            if name.startswith((f"{player}: ", f"{player} → "))
        ]
        candidates = exact or of_swap
        if len(candidates) != 1:
            listed = ", ".join(repr(visible(name[:60])) for name in islice(names, 20))
            raise ValueError(
                f"{len(candidates)} players of {game!r} are named {player!r}, and one is expected; "
                f"its players are {listed}"
            )
        return candidates[0]
    if isinstance(player, bool) or not 0 <= player < len(names):
        raise ValueError(
            f"player={player!r} is none of the {len(names)} of {game!r}; give a number from 0 on "
            "or a name"
        )
    return int(player)


def _check(margin: float, share: float) -> None:
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(
            f"margin={margin!r}; give the largest change of the score that counts as nothing, a "
            "number above 0"
        )
    if not 0 < share < 1:
        raise ValueError(f"share={share!r}; give a share of prompts between 0 and 1, such as 0.95")


def _check_any(changes: Sequence[Change]) -> None:
    if not changes:
        raise ValueError("no games were given; give one for each prompt")
