"""``--cheaper-layers`` and its siblings: refused where they do not fit, and told on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

import interplay as ip
from tests.cli.running import run

TEXT = "not a film to miss without a reason or two"


def usual(folder: Path) -> tuple[object, ...]:
    """The command but for the cheaper model."""
    (folder / "review.txt").write_text(TEXT)
    return (
        *("text", "--model", "smollm2", "--file", folder / "review.txt", "--by", "word"),
        *("--response", " good", "--question", "It is", "--budget", "40"),
    )


@pytest.mark.model
def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    for options, said in (
        (("--cheaper-budget", "50"), "--cheaper-budget was given without a cheaper model"),
        (("--cheaper-dtype", "int3"), "--cheaper-dtype"),
        (("--cheaper-layers", "30"), "fewer than 30"),
        (("--cheaper-layers", "2", "--cheaper-budget", "20"), "below budget=40"),
    ):
        assert said in " ".join(run(*usual(tmp_path), *options, code=2).split())


@pytest.mark.model
def test_a_run_with_fewer_layers(tmp_path: Path) -> None:
    out = tmp_path / "out"
    cheaper = ("--cheaper-layers", "2", "--cheaper-budget", "60")
    printed = run(*usual(tmp_path), *cheaper, "--out", out)
    explanation = ip.load(out / "explanation.interplay")
    assert 40 < explanation.provenance["cheaper"]["n_ablations"] <= 60
    said = f"A cheaper game ({explanation.provenance['cheaper']['n_ablations']} ablations)"
    assert said in " ".join(printed.split())
    assert said in (out / "explanation.html").read_text(encoding="utf-8")
    run("verify", out)
