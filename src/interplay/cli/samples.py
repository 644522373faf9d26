"""Items of a benchmark on the command line: ``interplay text --samples FILE --doc-id 17``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from interplay.cli.manifest import INPUTS, put
from interplay.cli.tables import console
from interplay.text.sample_files import read_samples
from interplay.text.sample_items import written_items
from interplay.text.samples import Sample

_ROWS = 40
_ANSWERED = {True: "right", False: "wrong", None: "?"}


def chosen(path: Path, doc_id: str | None) -> Sample:
    """The item of a file of samples that was asked for.

    Raises:
        ValueError: none was named, and all are listed; or there is no such item.
    """
    samples = read_samples(path)
    for sample in samples:
        if sample.doc_id == doc_id:
            return sample
    _print_list(samples)
    which = "--doc-id is missing" if doc_id is None else f"{path} has no item {doc_id!r}"
    raise ValueError(f"{which}; choose one of the {len(samples)} items by --doc-id")


def answers_of(
    sample: Sample,
    target: str | None,
    response: str | None,
    against: str | None,
    option: Sequence[str] | None,
) -> dict[str, Any]:
    """The options of what is scored, with what was not given filled in from an item.

    Raises:
        ValueError: the file does not say which answer is right, or the answer is empty.
    """
    kind = target or ("contrast" if sample.kind == "choices" else "logprob")
    if kind == "options":
        return {"target": kind, "option": list(option or sample.answers)}
    if kind in ("contrast", "logit-difference"):
        if sample.kind == "generated":
            return {"target": kind, "against": against or sample.answers[0]}
        if response is None or against is None:
            right, other = sample.compared
            response = sample.answers[right] if response is None else response
            against = sample.answers[other] if against is None else against
        return {"target": kind, "response": response, "against": against}
    if response is None and kind in ("logprob", "prob", "logit"):
        if sample.kind == "choices":
            response = sample.answers[sample.compared[0]]
        else:
            response = getattr(sample.target, "text", sample.answers[0])
    return {"target": kind, "response": response}


def excerpt(path: Path, sample: Sample, folder: Path) -> Path:
    """Write an item of a file of samples into a run's folder, for its recipe.

    Returns:
        The path of the new file; of one that is there already, its own.
    """
    place = folder / INPUTS
    if path.resolve().parent == place.resolve():
        return path
    place.mkdir(parents=True, exist_ok=True)
    written = [text for number, text in written_items(path) if number in sample.lines]
    copy = place / path.name
    # an item of a list may have several lines, but JSON has no line breaks within its texts
    lines = [" ".join(text.split("\n")) for text in written]
    put(copy, "".join(f"{line}\n" for line in lines).encode())
    return copy


def _print_list(samples: Sequence[Sample]) -> None:
    """Print the items, those that were answered wrongly first."""
    ranked = sorted(samples, key=lambda sample: (False, True, None).index(sample.is_right))
    table = Table(box=None, pad_edge=False)
    for name in ("doc id", "answered", "scores", "item"):
        table.add_column(name)
    for sample in ranked[:_ROWS]:
        scores = ", ".join(f"{name} {score:.4g}" for name, score in sample.scores.items())
        table.add_row(
            *map(escape, (sample.doc_id, _ANSWERED[sample.is_right], scores, sample.snippet))
        )
    console.print(table)
    if len(ranked) > _ROWS:
        console.print(f"and {len(ranked) - _ROWS} more", highlight=False)
