r"""What recurs over a set of prompts, by role: how often, how large, and whether beyond chance.

A role is what a player is in the set: the field that it is from, its rank, a pattern that it
matches. In a prompt, a role (or a pair of roles) *shows* a sign if a player (or a pair of players)
that has it has a finding of that sign, of at least a share of the prompt's range. Of p prompts that
have the role, k show it; the share has the exact interval of Clopper and Pearson.

A finding is a value whose 90 % interval excludes zero, which each value without an effect would be
with probability 0.05 in either direction. With s such values in a prompt, chance shows a sign with
probability at most :math:`q = 1 - 0.95^s`. The p-value of k is the tail of the binomial law with
the mean of q over the prompts, which is no smaller than that of the sum of unequal chances
(Hoeffding 1956). Holm's method (1979) corrects for all roles, pairs and signs that were looked at,
however they depend on each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from itertools import combinations, combinations_with_replacement
from math import nan, sqrt

from interplay._types import Json
from interplay.audit.prompts import Record
from interplay.confirmation.changes import ALPHA, share_interval

FEWEST = 5
"""Of fewer prompts nothing is said, unless the whole set is smaller."""
MOST_ROLES = 60
"""The most roles that are looked at, those in most prompts first."""
_ODD = 0.1
"""The share of prompts in which two names of one role may have different players."""
_STRONGEST = 5
_MOST_SLICES = 20

Key = tuple[str, ...]
"""One role, or a pair of them."""


@dataclass(frozen=True)
class Share:
    """In how many prompts something shows.

    Attributes:
        shown: in how many.
        of: of how many.
    """

    shown: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 90 % interval of the share (Clopper and Pearson 1934)."""
        return share_interval(self.shown, self.of)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.shown / self.of:.0%} of the prompts ({low:.0%} to {high:.0%})"


@dataclass(frozen=True)
class Finding:
    """A role, or a pair of roles, with a sign.

    Attributes:
        roles: the role, or both.
        sign: 1 or -1.
        share: in how many of the prompts that have the roles it shows.
        mean: the mean effect over all prompts that have the roles, whatever its sign: in each the
            sum over the players, or pairs of players, that have them.
        low: the lower end of the mean's 90 % interval over prompts (Student's t); NaN for one.
        high: its upper end.
        weight: the mean over the prompts of the largest effect that shows, as a share of the
            prompt's range; 0 where none shows.
        p_value: the probability that chance shows it as often.
        survives: whether it survives the correction for everything that was looked at, at 5 %.
        strongest: the numbers of the prompts where it shows most, the strongest first, each with
            its effect.
        slices: the share in each part of the set, by the value of a column.
        opposite: in how many of these prompts an effect of the other sign shows.
    """

    roles: Key
    sign: int
    share: Share
    mean: float
    low: float
    high: float
    weight: float
    p_value: float
    survives: bool
    strongest: tuple[tuple[int, float], ...]
    slices: Mapping[str, Share] = field(default_factory=dict)
    opposite: int = 0

    @property
    def sentence(self) -> str:
        """It in words."""
        low, high = (f"{end:.0%}" for end in self.share.interval)
        change = "raises" if self.sign > 0 else "lowers"
        what = f"{self.roles[0]} {change} the score"
        if len(self.roles) == 2:
            change = change.removesuffix("s")
            what = f"{' × '.join(self.roles)}: together they {change} the score beyond what each"
            what += " does alone,"
        other = f"{'lower' if self.sign > 0 else 'raise'}{'s' if len(self.roles) == 1 else ''} it"
        subject = "it" if len(self.roles) == 1 else "they"
        rest = f"; in {self.opposite} {subject} {other}" if self.opposite else ""
        return (
            f"{what} in {self.share.shown} of {self.share.of} prompts, "
            f"{self.share.shown / self.share.of:.0%} ({low} to {high})" + rest
        )

    def to_json(self) -> Json:
        """It as JSON."""
        low, high = self.share.interval
        return {
            "roles": list(self.roles),
            "sign": self.sign,
            "sentence": self.sentence,
            "shown": self.share.shown,
            "opposite": self.opposite,
            "prompts": self.share.of,
            "interval": [low, high],
            "mean": self.mean,
            "mean_low": self.low,
            "mean_high": self.high,
            "weight": self.weight,
            "p_value": self.p_value,
            "survives": self.survives,
            "strongest": [list(entry) for entry in self.strongest],
            "slices": {
                value: {"shown": part.shown, "prompts": part.of, "interval": [*part.interval]}
                for value, part in self.slices.items()
            },
        }


@dataclass(frozen=True)
class Findings:
    """What was looked at, and what came of it.

    Attributes:
        listed: each role and pair with a sign that shows in some prompt; pairs first, since what
            single players do is often what they should; of either those that survive first, then
            by weight.
        n_tested: roles and pairs, in both directions, that the correction is for.
        also: other names of a role, which the same players have in all prompts, but for odd ones.
        rare: how many roles were in too few prompts.
        crowded: how many were left out since others are in more prompts.
    """

    listed: tuple[Finding, ...]
    n_tested: int
    also: Mapping[str, tuple[str, ...]]
    rare: int
    crowded: int


Numbered = tuple[int, Record]
"""A record with the number of its prompt."""


def findings_of(
    records: Callable[[], Iterable[Numbered]],
    *,
    least: float,
    slice_of: Callable[[int], str | None],
) -> Findings:
    """Aggregate records by role.

    Args:
        records: gives those that count, each time it is called: they are read twice, and not kept.
        least: the smallest effect that shows, as a share of the prompt's range.
        slice_of: the part of the set that a prompt is in, by its number.
    """
    chosen, also, rare, crowded = _roles(records())
    tallies: defaultdict[Key, _Tally] = defaultdict(_Tally)
    slices = Counter(slice_of(number) for number, _ in records())
    shown_slices = {name for name, _ in slices.most_common(_MOST_SLICES) if name is not None}
    for number, record in records():
        part = slice_of(number)
        part = part if part in shown_slices else None
        for key, sets in _sets(record, chosen):
            tallies[key].add(number, sets, least * record["range"], record["range"], part)
    listed = [
        found for key, tally in tallies.items() for found in (tally.of(key, 1), tally.of(key, -1))
    ]
    n_tested = len(listed)
    survivors = _holm([finding.p_value for finding in listed])
    kept = [
        _with_survival(finding, survives)
        for finding, survives in zip(listed, survivors, strict=True)
        if finding.share.shown
    ]
    kept.sort(key=lambda one: (-len(one.roles), not one.survives, -one.weight, one.roles))
    return Findings(tuple(kept), n_tested, also, rare, crowded)


def _with_survival(finding: Finding, survives: bool) -> Finding:
    return Finding(**{**finding.__dict__, "survives": survives})


def _roles(
    records: Iterable[Numbered],
) -> tuple[frozenset[str], dict[str, tuple[str, ...]], int, int]:
    """The roles to look at, other names of them, and how many are not looked at."""
    counts: Counter[str] = Counter()
    alike: Counter[Key] = Counter()
    n_prompts = 0
    for _, record in records:
        n_prompts += 1
        same: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
        for role, having in _having(record).items():
            counts[role] += 1
            same[tuple(having)].append(role)
        for names in same.values():
            alike.update(combinations(sorted(names), 2))
    fewest = min(FEWEST, n_prompts)
    groups: list[list[str]] = []
    for role, count in counts.most_common():  # of equally many the one that was met first
        if count < fewest:
            break
        known = (
            names
            for names in groups
            if _nearly(alike[min(names[0], role), max(names[0], role)], counts[names[0]])
        )
        group = next(known, None)
        if group is None:
            groups.append([role])
        else:
            group.append(role)
    rare = sum(count < fewest for count in counts.values())
    chosen = groups[:MOST_ROLES]
    also = {names[0]: tuple(names[1:]) for names in chosen if len(names) > 1}
    return frozenset(names[0] for names in chosen), also, rare, len(groups) - len(chosen)


def _nearly(shared: int, count: int) -> bool:
    """Whether prompts are all but an odd one, or a few of many."""
    return count - shared <= max(_ODD * count, 1 if count >= FEWEST else 0)


def _having(record: Record) -> dict[str, list[int]]:
    """The players that have each role."""
    having: defaultdict[str, list[int]] = defaultdict(list)
    for player, roles in enumerate(record["roles"]):
        for role in roles:
            having[role].append(player)
    return having


@dataclass
class _Sets:
    """The values of the sets of a prompt that have a role, or a pair of roles.

    Attributes:
        count: how many there are, those with the value 0 included.
        values: with whether each is a finding.
    """

    count: int
    values: list[tuple[float, bool]] = field(default_factory=list)


def _sets(record: Record, chosen: frozenset[str]) -> Iterator[tuple[Key, _Sets]]:
    """The sets of a prompt by role and by pair of roles."""
    order = {role: place for place, role in enumerate(sorted(chosen))}
    having = {role: ids for role, ids in _having(record).items() if role in chosen}
    values = list(zip(record["singles"], record["single_findings"], strict=True))
    for role, ids in having.items():
        yield (role,), _Sets(len(ids), [values[player] for player in ids])
    pairs: dict[Key, _Sets] = {}
    for first, second in combinations_with_replacement(sorted(having, key=order.__getitem__), 2):
        both = len({*having[first]} & {*having[second]})
        # ordered pairs of different players, less those that count twice
        count = len(having[first]) * len(having[second]) - both - both * (both - 1) // 2
        if count:
            pairs[first, second] = _Sets(count)
    of_player = [[role for role in roles if role in chosen] for roles in record["roles"]]
    for one, other, value, finding in record["pairs"]:
        keys = {
            (a, b) if order[a] <= order[b] else (b, a)
            for a in of_player[int(one)]
            for b in of_player[int(other)]
        }
        for key in keys:
            pairs[key].values.append((value, bool(finding)))
    yield from pairs.items()


class _Tally:
    """What is counted of a role, or a pair of roles, over the prompts."""

    def __init__(self) -> None:
        self.n_prompts = 0
        self.chance = self.total = self.squares = 0.0
        self.shown, self.weight = {1: 0, -1: 0}, {1: 0.0, -1: 0.0}
        self.strongest: dict[int, list[tuple[float, int, float]]] = {1: [], -1: []}
        self.parts: Counter[str] = Counter()
        self.shown_parts: Counter[tuple[int, str]] = Counter()

    def add(self, number: int, sets: _Sets, least: float, range_: float, part: str | None) -> None:
        """Count a prompt."""
        self.n_prompts += 1
        self.chance += 1.0 - (1.0 - ALPHA) ** sets.count
        effect = sum(value for value, _ in sets.values)
        self.total += effect
        self.squares += effect * effect
        if part is not None:
            self.parts[part] += 1
        for sign in (1, -1):
            largest = max(
                (value * sign for value, is_finding in sets.values if is_finding), default=0.0
            )
            if largest <= 0.0 or largest < least:
                continue
            self.shown[sign] += 1
            self.weight[sign] += largest / range_
            if part is not None:
                self.shown_parts[sign, part] += 1
            push = heappush if len(self.strongest[sign]) < _STRONGEST else heappushpop
            push(self.strongest[sign], (largest, -number, sign * largest))

    def of(self, key: Key, sign: int) -> Finding:
        """The finding of a sign, before anything is corrected for."""
        from scipy.stats import binom, t

        count, shown = self.n_prompts, self.shown[sign]
        mean = self.total / count
        low = high = nan
        if count > 1:
            variance = max(self.squares - count * mean * mean, 0.0) / (count - 1)
            half = float(t.ppf(1 - ALPHA, count - 1)) * sqrt(variance / count)
            low, high = mean - half, mean + half
        chance = min(self.chance / count, 1.0)
        return Finding(
            roles=key,
            sign=sign,
            share=Share(shown, count),
            mean=mean,
            low=low,
            high=high,
            weight=self.weight[sign] / count,
            p_value=float(binom.sf(shown - 1, count, chance)) if shown else 1.0,
            survives=False,
            strongest=tuple(
                (-number, effect) for _, number, effect in sorted(self.strongest[sign])[::-1]
            ),
            slices={
                part: Share(self.shown_parts[sign, part], of)
                for part, of in sorted(self.parts.items())
            },
            opposite=self.shown[-sign],
        )


def _holm(p_values: Sequence[float]) -> list[bool]:
    """Which p-values survive Holm's method at 5 %."""
    survivors = [False] * len(p_values)
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, row in enumerate(ranked):
        if p_values[row] > ALPHA / (len(p_values) - place):
            break
        survivors[row] = True
    return survivors
