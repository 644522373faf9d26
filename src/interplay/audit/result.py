"""What an audit of a set of prompts says: what recurs, and how well each was explained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from os.path import relpath
from pathlib import Path
from typing import cast

from interplay._types import Json, plain, visible
from interplay.audit.asked import Facts
from interplay.audit.findings import Finding, Findings
from interplay.audit.lessons import UNLIKE, Learn
from interplay.audit.pooled import Pooled
from interplay.explanation.explanation import Explanation
from interplay.explanation.loading import load

PAGE, DOCUMENT = "audit.html", "audit.json"
MOST_PAGES = 100
_LEVELS = ("not usable", "unknown", "weak", "usable")
_LISTED, _NAMED, _REFUSED = 8, 5, 20


@dataclass(frozen=True)
class Audited:
    """What an audit says of one prompt.

    Attributes:
        number: its place in the set, from 0.
        title: what it is called.
        line: its line in the file that it is from, or ``None``.
        columns: what else is known of it.
        level: of its explanation's verdict.
        reason: why, in a sentence.
        counts: whether the set's findings are made of it.
        r2: its held-out R2; ``None``: not known.
        low: the lower end of its interval.
        high: the upper end.
        exact: whether all masks were evaluated.
        n_ablations: how many it took.
        n_held_out: on how many masks it is scored.
        error: the sum of squared errors on these.
        spread: the sum of squared deviations from their mean.
        learned_from: from how many earlier prompts its prior was learned; 0: from none.
        evidence: how much likelier its values are by that prior than without, as a logarithm;
            ``None``: nothing was learned before.
        file: its explanation in the folder; ``None`` without a folder.
    """

    number: int
    title: str
    line: int | None
    columns: Mapping[str, str]
    level: str
    reason: str
    counts: bool
    r2: float | None
    low: float | None
    high: float | None
    exact: bool
    n_ablations: int
    n_held_out: int
    error: float
    spread: float
    learned_from: int
    evidence: float | None
    file: str | None

    @property
    def unlike(self) -> bool:
        """Whether its values speak against what was learned from earlier prompts."""
        return self.evidence is not None and self.evidence < UNLIKE


@dataclass(frozen=True)
class Refused:
    """A prompt that could not be explained.

    Attributes:
        number: its place in the set, from 0.
        title: what it is called.
        line: its line in the file that it is from, or ``None``.
        reason: why.
    """

    number: int
    title: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        where = self.title if self.line is None else f"line {self.line}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class Audit:
    """The result of :func:`interplay.audit_prompts`.

    Attributes:
        prompts: those that were explained, in their order.
        refused: those that could not be.
        results: what recurs.
        pooled: the scores of all prompts together.
        by: the column by which the set is cut into parts, or ``None``.
        least: the smallest effect that shows, as a share of a prompt's range.
        index: the interaction index of all values; several if prompts differ.
        n_evaluated: how many prompts were explained in this call, not in an earlier one.
        interrupted: whether it ended before the set did.
        learn: what was learned across prompts.
        output: which of several outputs was looked at.
        random_state: the seed.
        asked: what was asked of every prompt, as names and what stands under them: the score, the
            model, the parts, how they are removed, the template.
        folder: where its files are, or ``None``.
    """

    prompts: tuple[Audited, ...]
    refused: tuple[Refused, ...]
    results: Findings
    pooled: Pooled
    by: str | None
    least: float
    index: tuple[str, ...]
    n_evaluated: int
    interrupted: bool
    learn: Learn
    output: int
    random_state: int
    asked: Facts
    folder: Path | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What recurs beyond chance, by the correction for everything that was looked at."""
        return tuple(finding for finding in self.results.listed if finding.survives)

    @property
    def worst(self) -> tuple[Audited, ...]:
        """The prompts, the worst explained first."""
        return tuple(
            sorted(
                self.prompts,
                key=lambda prompt: (
                    prompt.counts,
                    _LEVELS.index(prompt.level),
                    prompt.r2 if prompt.r2 is not None else -1.0,
                    prompt.number,
                ),
            )
        )

    @property
    def poor(self) -> tuple[Audited, ...]:
        """Those whose explanations are not usable without reserve, the worst first."""
        return tuple(prompt for prompt in self.worst if prompt.level != "usable")

    @property
    def unlike(self) -> tuple[Audited, ...]:
        """Those unlike earlier prompts, the most unlike first."""
        unlike = [prompt for prompt in self.prompts if prompt.unlike]
        return tuple(sorted(unlike, key=lambda prompt: (prompt.evidence, prompt.number)))

    @property
    def left_out(self) -> tuple[Audited, ...]:
        """Those whose explanations may not be used: no finding is made of them."""
        return tuple(prompt for prompt in self.prompts if not prompt.counts)

    def prompt(self, number: int) -> Audited:
        """A prompt that was explained, by its place in the set.

        Raises:
            KeyError: there is none.
        """
        return {prompt.number: prompt for prompt in self.prompts}[number]

    def explanation(self, number: int) -> Explanation:
        """The explanation of a prompt, from the audit's folder.

        Raises:
            ValueError: the audit has no folder.
            KeyError: there is no such prompt.
        """
        file = self.prompt(number).file
        if self.folder is None or file is None:
            raise ValueError("this audit kept no explanations; give audit_prompts(folder=...)")
        return load(self.folder / file)

    @property
    def summary(self) -> tuple[str, ...]:
        """What was done, in sentences."""
        n_prompts, n_left_out = len(self.prompts), len(self.left_out)
        lines = [
            f"{n_prompts} prompts were explained, {self.n_evaluated} of them now, by "
            f"{sum(prompt.n_ablations for prompt in self.prompts):,} ablations."
        ]
        if self.interrupted:
            lines[0] += " It was interrupted: this is what there was by then."
        lines.append(str(self.pooled))
        primed = [prompt.learned_from for prompt in self.prompts if prompt.learned_from]
        if primed:
            lines.append(
                f"{len(primed)} were explained with what up to {max(primed)} earlier prompts said "
                "of their segments; what recurs is told without it."
            )
        if self.unlike:
            lines.append(
                f"{len(self.unlike)} are unlike the prompts before them: what these say of which "
                f"segments matter does not hold there: {_names(self.unlike)}."
            )
        if n_left_out:
            lines.append(
                f"{n_left_out} explanations may not be used, and nothing below is made of them: "
                f"{_names(self.left_out)}."
            )
        if self.refused:
            lines.append(
                f"{len(self.refused)} {'prompt' if len(self.refused) == 1 else 'prompts'} could "
                "not be explained; they are listed below."
            )
        lines.append(
            f"{self.results.n_tested} roles and pairs of roles, by sign, were looked at; "
            f"{len(self.findings)} show in more prompts than chance explains (Holm's method, 5 %)."
        )
        files = [prompt.file for prompt in self.prompts if prompt.file is not None]
        if repeated := len(files) - len(set(files)):
            lines.append(
                f"{repeated} of the prompts {'is' if repeated == 1 else 'are'} the same as an "
                "earlier one, ablated once but counted each time: intervals and p-values take "
                "them for independent."
            )
        if (
            self.prompts
            and self.by is not None
            and all(self.by not in prompt.columns for prompt in self.prompts)
        ):
            lines.append(f"No prompt has the column {self.by!r}, so there are no parts.")
        if self.results.rare:
            lines.append(f"{self.results.rare} roles are in too few prompts to be looked at.")
        if self.results.crowded:
            lines.append(f"{self.results.crowded} more were left out: others are in more prompts.")
        return tuple(lines)

    def to_json(self) -> Json:
        """Everything, as JSON."""
        document: Json = plain(
            {
                "asked": dict(self.asked),
                "summary": self.summary,
                "pooled": self.pooled.to_json(),
                "findings": [finding.to_json() for finding in self.results.listed],
                "n_tested": self.results.n_tested,
                "also": self.results.also,
                "by": self.by,
                "least": self.least,
                "index": self.index,
                "interrupted": self.interrupted,
                "n_evaluated": self.n_evaluated,
                "learn": self.learn,
                "output": self.output,
                "random_state": self.random_state,
                "prompts": [prompt.__dict__ for prompt in self.prompts],
                "refused": [refused.__dict__ for refused in self.refused],
            }
        )
        return document

    def save(self, path: str | Path) -> Path:
        """Write :meth:`to_json`, and return the path."""
        text = json.dumps(self.to_json(), indent=1, ensure_ascii=False)
        Path(path).write_text(f"{text}\n", encoding="utf-8", newline="\n")
        return Path(path)

    def to_html(self, path: str | Path | None = None) -> Path:
        """Write one page of the set: what recurs first, then the prompts, the worst first.

        Pages of the prompts that it names (:data:`MOST_PAGES` at most) are written beside their
        explanations, and it links to them.

        Args:
            path: the file, by default in the audit's folder. It needs that folder for its links.

        Returns:
            The path.

        Raises:
            ValueError: neither a path nor a folder.
        """
        if path is None and self.folder is None:
            raise ValueError("this audit has no folder; give the path of the page")
        path = Path(path) if path is not None else cast(Path, self.folder) / PAGE
        linked = {} if self.folder is None else self.linked()
        for file in linked.values():
            assert self.folder is not None
            page = (self.folder / file).with_suffix(".html")
            if not page.exists():
                load(self.folder / file).to_html(page)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.page(path.parent), encoding="utf-8", newline="\n")
        return path

    def page(self, beside: Path) -> str:
        """The page of the set, as HTML whose links are from a folder. Nothing is written."""
        addresses = {}
        if self.folder is not None:
            for number, file in self.linked().items():
                page = (self.folder / file).with_suffix(".html")
                addresses[number] = Path(relpath(page, beside)).as_posix()
        # the page is made to the right of this room
        html: str = import_module("interplay.report.audits").page_of(self, addresses)
        return html

    def linked(self) -> dict[int, str]:
        """The files of the prompts that have pages, by their numbers."""
        named = [number for finding in self.findings for number, _ in finding.strongest]
        named += [prompt.number for prompt in self.worst]
        files = {prompt.number: prompt.file for prompt in self.prompts}
        linked = {}
        for number in islice(dict.fromkeys(named), MOST_PAGES):
            file = files[number]
            if file is not None:
                linked[number] = file
        return linked

    def __repr__(self) -> str:
        return f"<Audit: {len(self.prompts)} prompts, {len(self.findings)} findings>"

    def __str__(self) -> str:
        lines = [*(f"{name}: {said}" for name, said in self.asked), "", *self.summary]
        for finding in self.findings[:_LISTED]:
            strongest = ", ".join(self.prompt(number).title for number, _ in finding.strongest[:3])
            lines += ["", f"{finding.sentence}.", f"  mean effect {_mean(finding)}"]
            lines.append(f"  strongest in: {strongest}")
            lines += [f"  {self.by} {value}: {part}" for value, part in finding.slices.items()]
        if len(self.findings) > _LISTED:
            lines += ["", f"and {len(self.findings) - _LISTED} more (findings)"]
        if self.prompts:
            poor = f"worst explained: {_names(self.poor)}"
            well = f"all {len(self.prompts)} that were explained are explained well"
            lines += ["", poor if self.poor else well]
        if self.refused:
            lines += ["", *(f"not explained: {one}" for one in self.refused[:_REFUSED])]
            if len(self.refused) > _REFUSED:
                lines.append(f"and {len(self.refused) - _REFUSED} more (refused)")
        return visible("\n".join(lines))


def _names(prompts: Sequence[Audited]) -> str:
    names = [
        prompt.title + (f" (R2 {prompt.r2:.2f})" if prompt.r2 is not None else "")
        for prompt in prompts[:_NAMED]
    ]
    more = len(prompts) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def _mean(finding: Finding) -> str:
    return f"{finding.mean:+.3g} ({finding.low:+.3g} to {finding.high:+.3g})"
