"""Audit a set of prompts: what its folder says is derived again from its explanations and values.

Each explanation is derived from the store as by itself, then its record, then what recurs. What was
learned across prompts is learned again, in the order of the prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, get_args

from interplay._types import Json, check, plain
from interplay.audit.asked import Asked
from interplay.audit.checks import (
    MISMATCH,
    Check,
    Entry,
    Trusted,
    Verification,
    checked,
    documents,
    texts,
    unchecked,
)
from interplay.audit.findings import Numbered, findings_of
from interplay.audit.lessons import UNLIKE, Learn, Lessons, Segments, serves
from interplay.audit.pooled import pooled_score
from interplay.audit.prompts import FromOthers, Record, read_record, record_of
from interplay.audit.record import SCORE_TOLERANCE
from interplay.audit.result import DOCUMENT, PAGE, Audit, Audited, Refused
from interplay.audit.sets import (
    PROMPTS,
    RECORDS,
    STORE,
    audited_of,
    default_budget,
    helped,
    larger_budget,
)
from interplay.audit.verify import verify
from interplay.decoders.gaussian.learn import Prior
from interplay.explanation.explanation import Explanation
from interplay.explanation.loading import load
from interplay.explanation.provenance import versions
from interplay.game import Hints

_FILE = re.compile(rf"{PROMPTS}/([0-9a-f]{{16}})\.interplay")


_GIVEN = ("parts", "template")
"""What the prompts said of how they were made, if they had a template."""


class _Listed(TypedDict):
    """What is read of a prompt in the document; the rest of it is compared."""

    number: int
    title: str
    line: int | None
    columns: dict[str, str]
    file: str | None


class _Refused(TypedDict):
    number: int
    title: str
    line: int | None
    reason: str


class _Document(TypedDict):
    """What is read of the document; the rest of it is compared."""

    asked: dict[str, str]
    by: str | None
    least: float
    interrupted: bool
    n_evaluated: int
    output: int
    random_state: int
    prompts: list[_Listed]
    refused: list[_Refused]


def verify_set(folder: str | Path, *, store: str | Path | None = None) -> Verification:
    """Derive an audit of a set of prompts again from its folder, and compare.

    These are the checks, those of a prompt with its number before their names:

    - all of :func:`interplay.verify` but those that need the model, for each prompt;
    - ``record``: what is kept of the explanation, and what the audit's table says of it;
    - ``learned``: whether, and by which numbers, earlier prompts had a part in it;
    - ``prompts``: each prompt of the set was explained or refused, once;
    - ``results``: what recurs, its counts, intervals and correction, the pooled score, the summary;
    - ``page``: the page of the set is the one that these give.

    Args:
        folder: of :func:`interplay.audit_prompts`, with the ``audit.json`` that the command writes,
            or ``audit.save(folder / "audit.json")``.
        store: the file of ablations; by default the folder's own.

    Returns:
        The checks.

    Raises:
        ValueError: the folder is not that of an audit, or a file of it cannot be read.
        StoreError: the store cannot be read.
    """
    folder = Path(folder)
    written, records = _document(folder), _records(folder)
    document: _Document = written  # type: ignore[assignment]
    learn: Any = written.get("learn")
    if learn not in get_args(Learn):
        raise ValueError(f"{folder / DOCUMENT}: learn={learn!r} is unknown")
    place = Path(store) if store is not None else folder / STORE
    lessons = Lessons(learn, document["output"])
    checks: list[Check] = []
    trusted: dict[tuple[str, str], Trusted] = {}
    audited: list[Audited] = []
    counted: list[Numbered] = []
    indices: set[str] = set()
    has_template = "template" in document["asked"]
    asked = Asked({key: document["asked"][key] for key in _GIVEN} if has_template else None)
    for listed, entry in zip(document["prompts"], written["prompts"], strict=True):
        number, file = listed["number"], listed["file"]
        found = None if file is None else _FILE.fullmatch(file)
        if file is None or found is None or not (folder / file).is_file():
            missing = texts("explanation", "a file of the folder", None)
            checks.append(checked(f"prompt {number}: explanation", "it is there", [missing]))
            continue
        explanation = load(folder / file)
        result = verify(explanation, None, store=place, sample=0)
        checks += [
            replace(one, name=f"prompt {number}: {one.name}")
            for one in result.checks
            if one.name not in ("game", "model")
        ]
        for one in result.trusted:
            trusted.setdefault((one.what, one.reason), replace(one, recorded="of each prompt"))
        kept = records.get(found[1])
        if kept is None:
            reason = [texts("record", None, "a line")]
            checks.append(checked(f"prompt {number}: record", f"{RECORDS} has it", reason))
            continue
        learned, compared = _learned(lessons, kept, explanation)
        if compared:
            detail = "earlier prompts say this of it, by these numbers"
            checks.append(checked(f"prompt {number}: learned", detail, compared))
        record = record_of(explanation, kept["roles"], kept["key"], lessons.output, learned)
        again = audited_of(number, listed["title"], listed["line"], listed["columns"], record, file)
        entries = [
            *documents("record", plain(kept), plain(record), SCORE_TOLERANCE),
            *documents("prompt", entry, plain(again.__dict__), SCORE_TOLERANCE),
        ]
        detail = "what is kept of it, and said of it, is what its explanation gives"
        checks.append(checked(f"prompt {number}: record", detail, entries))
        asked.add(explanation.provenance["game"]["description"])
        audited.append(again)
        indices.add(record["index"])
        if record["counts"]:
            counted.append((number, record))
    checks.append(_prompts(document))
    refused = tuple(Refused(**one) for one in document["refused"])
    if len(audited) < len(document["prompts"]):
        checks.append(unchecked("results", "they are of prompts that cannot be derived again"))
    else:
        by, seed = document["by"], document["random_state"]
        columns = {prompt.number: prompt.columns for prompt in audited}
        audit = Audit(
            tuple(audited),
            refused,
            findings_of(
                lambda: iter(counted),
                least=document["least"],
                slice_of=lambda number: None if by is None else columns[number].get(by),
            ),
            pooled_score([(one.error, one.spread, one.exact) for one in audited], seed),
            by,
            document["least"],
            tuple(sorted(indices)),
            document["n_evaluated"],
            document["interrupted"],
            learn,
            lessons.output,
            seed,
            asked.facts,
            folder,
        )
        results = documents("audit", written, audit.to_json(), SCORE_TOLERANCE)
        checks.append(checked("results", "what recurs is what the prompts give", results))
        checks += _page(audit, folder)
    return Verification(tuple(checks), (*trusted.values(), *_trusted()))


def _document(folder: Path) -> Json:
    """The audit's document.

    Raises:
        ValueError: there is none, or something else.
    """
    path = folder / DOCUMENT
    if not path.is_file():
        raise ValueError(
            f"{folder} has no {DOCUMENT}; give the --out folder of interplay audit, or save it: "
            f'audit.save(folder / "{DOCUMENT}")'
        )
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        check(document, _Document, "an audit")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not what an audit writes: {error}") from error
    return document  # type: ignore[no-any-return]


def _records(folder: Path) -> dict[str, Record]:
    """The records of a folder by the beginnings of their keys, by which files are named."""
    records: dict[str, Record] = {}
    path = folder / RECORDS
    if path.is_file():
        for line in path.read_bytes().splitlines():
            try:
                record = read_record(line)
            except ValueError:  # a killed run leaves half a line
                continue
            records[record["key"][:16]] = record
    return records


def _learned(
    lessons: Lessons, kept: Record, explanation: Explanation
) -> tuple[FromOthers, list[Entry]]:
    """What earlier prompts had to do with a prompt, and how that compares with its record."""
    provenance = explanation.provenance
    hints, given = provenance.get("hints"), provenance.get("prior")
    recorded = None if given is None else Prior.recorded(given).to_json()
    n_players = len(explanation.players)
    if len(kept["roles"]) != n_players:
        return FromOthers(), [texts("players with roles", str(len(kept["roles"])), str(n_players))]
    segments = Segments(
        explanation.players, kept["roles"], None if hints is None else Hints.recorded(hints)
    )
    expected = lessons.expected(segments)
    learned, prior = FromOthers(), None
    if expected is not None and serves(explanation, lessons.output):
        budget, until = provenance["request"]["budget"], provenance.get("until") is not None
        evidence = expected.evidence(explanation, lessons.output)
        if budget == larger_budget(default_budget(n_players)) and kept["evidence"] is not None:
            evidence = min(evidence, kept["evidence"])  # it is that of fewer ablations
        if evidence < UNLIKE:
            learned = FromOthers(0, evidence)
        elif helped(budget, n_players, until=until):
            learned, prior = FromOthers(expected.learned_from, evidence), expected.prior.to_json()
        else:
            learned = FromOthers(0, evidence)
    lessons.add(kept["key"], segments, explanation)
    if expected is None and recorded is None:
        return learned, []
    return learned, [
        *documents("prior", recorded, prior, SCORE_TOLERANCE),
        *documents("learned_from", kept["learned_from"], learned.learned_from),
        *documents("evidence", kept["evidence"], learned.evidence, SCORE_TOLERANCE),
    ]


def _prompts(document: Mapping[str, Any]) -> Check:
    """Check that each number up to the last is that of one prompt."""
    numbers = sorted(one["number"] for name in ("prompts", "refused") for one in document[name])
    entry = texts("numbers", str(numbers), str(list(range(len(numbers)))))
    return checked("prompts", "each prompt of the set was explained or refused, once", [entry])


def _page(audit: Audit, folder: Path) -> Iterator[Check]:
    """Check the page of the set, if there is one."""
    path = folder / PAGE
    if not path.is_file():
        return
    same = path.read_text(encoding="utf-8", errors="replace") == audit.page(folder)
    entry = texts(PAGE, "this page", "this page" if same else "another")
    result = checked("page", "the page is the one that the audit gives", [entry])
    then = {
        load(folder / prompt.file).provenance["versions"].get("interplay")
        for prompt in audit.prompts[:1]
        if prompt.file is not None
    }
    now = versions()["interplay"]
    if result.status == MISMATCH and then != {now}:
        result = unchecked("page", f"interplay {now} may write it differently than {then} did")
    yield result


def _trusted() -> Iterator[Trusted]:
    """What of an audit is compared with nothing."""
    yield Trusted(
        "prompts",
        "titles, lines, columns and roles of players",
        "they are of the rows that were given, which are not here",
    )
    yield Trusted(
        "parts, template", "none, or texts", "prompts are recorded as they were filled in"
    )
    yield Trusted("refused", "why prompts were refused", "nothing is recorded of them")
    yield Trusted("the last prompts", "none", "nothing shows whether there were more")
