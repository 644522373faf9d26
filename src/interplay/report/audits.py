"""The page of a set of prompts: what recurs, then the prompts, the worst explained first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from markupsafe import Markup

from interplay.report.bundle import bundle
from interplay.report.html import template_of

_MOST_ROWS = 500
_MOST_WEAK = 50
_BAR = 160


class Audited(Protocol):
    """What the page shows of an ``interplay.audit.result.Audit``."""

    @property
    def asked(self) -> tuple[tuple[str, str], ...]:
        """What was asked of every prompt."""
        ...

    @property
    def summary(self) -> tuple[str, ...]:
        """What was done."""
        ...

    @property
    def findings(self) -> tuple[Any, ...]:
        """What recurs beyond chance."""
        ...

    @property
    def results(self) -> Any:
        """Everything that was looked at."""
        ...

    @property
    def worst(self) -> tuple[Any, ...]:
        """The prompts, the worst explained first."""
        ...

    @property
    def prompts(self) -> tuple[Any, ...]:
        """The prompts."""
        ...

    @property
    def refused(self) -> tuple[Any, ...]:
        """Those that could not be explained."""
        ...

    @property
    def by(self) -> str | None:
        """The column of the slices."""
        ...

    @property
    def least(self) -> float:
        """The smallest effect that shows."""
        ...

    @property
    def index(self) -> tuple[str, ...]:
        """The interaction index."""
        ...


@dataclass(frozen=True)
class _Bar:
    """A share with its interval, on a scale from 0 to 1.

    Attributes:
        at: where the share is.
        low: where the interval begins.
        high: where it ends.
    """

    at: float
    low: float
    high: float


@dataclass(frozen=True)
class _Shown:
    """A finding as the page shows it.

    Attributes:
        of: the finding.
        bar: its share.
        strongest: the prompts where it shows most: title, effect, address or ``None``.
        slices: each part of the set with its share and bar.
    """

    of: Any
    bar: _Bar
    strongest: tuple[tuple[str, float, str | None], ...]
    slices: tuple[tuple[str, Any, _Bar], ...]


def page_of(audit: Audited, linked: Mapping[int, str]) -> str:
    """The page.

    Args:
        audit: the audit.
        linked: addresses of the pages of prompts, by their numbers.

    Raises:
        FileNotFoundError: this installation's style was not built.
    """
    titles = {prompt.number: prompt.title for prompt in audit.prompts}
    weak = [finding for finding in audit.results.listed if not finding.survives]
    return template_of("audit.html").render(
        audit=audit,
        findings=tuple(_shown(audit.findings, titles, linked)),
        weak=tuple(_shown(islice(weak, _MOST_WEAK), titles, linked)),
        n_weak=len(weak),
        rows=[(prompt, linked.get(prompt.number)) for prompt in audit.worst[:_MOST_ROWS]],
        n_more=max(0, len(audit.worst) - _MOST_ROWS),
        also=audit.results.also,
        width=_BAR,
        policy=bundle().static_policy,
        style=Markup(bundle().style),
    )


def _shown(
    findings: Sequence[Any] | Iterator[Any], titles: Mapping[int, str], linked: Mapping[int, str]
) -> Iterator[_Shown]:
    for finding in findings:
        yield _Shown(
            finding,
            _bar(finding.share),
            tuple(
                (titles[number], effect, linked.get(number)) for number, effect in finding.strongest
            ),
            tuple((value, part, _bar(part)) for value, part in finding.slices.items()),
        )


def _bar(share: Any) -> _Bar:
    low, high = share.interval
    return _Bar(*(place * _BAR for place in (share.shown / share.of, low, high)))
