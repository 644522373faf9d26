"""The package that docs/extending.md shows, built as a wheel, installed by pip, and used."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

import interplay as ip
from interplay import extensions
from interplay.ablation.evaluator import ON_ERROR

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
Run = Callable[..., str]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package of the page."""
    folder = tmp_path_factory.mktemp("package")
    project = tomllib.loads(blocks("toml")[0])["project"]
    files = {"tabular/__init__.py": ""}
    for block in blocks("python"):
        path, code = block.split("\n", 1)
        files[path.removeprefix("# ")] = code
    info = "interplay_tabular-0.1.0.dist-info"
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = "".join(
        f"[{group}]\n" + "".join(f"{name} = {at}\n" for name, at in entries.items())
        for group, entries in project["entry-points"].items()
    )
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / "interplay_tabular-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(wheel)], check=True)
    return folder / "site"


_WORKER = """
import contextlib, io, json, os, sys
from tests.cli.running import run

for line in sys.stdin:
    task = json.loads(line)
    os.chdir(task["folder"])
    if task["code"] is None:
        printed = run(*task["arguments"], code=task["status"])
    else:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(task["code"], {})
        printed = out.getvalue()
    print(json.dumps(printed), flush=True)
"""


@pytest.fixture(scope="module")
def worker(installed: Path) -> Iterator[subprocess.Popen[str]]:
    """One process that sees the installed package, for all that these tests run."""
    paths = os.pathsep.join([str(installed), str(PAGE.parents[1])])
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER],
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


@pytest.fixture
def run(worker: subprocess.Popen[str], tmp_path: Path) -> Run:
    """Runs the command line, or code, with the package installed."""

    def run(*arguments: str, code: str | None = None, status: int = 0) -> str:
        assert worker.stdin is not None
        assert worker.stdout is not None
        task = {"folder": str(tmp_path), "arguments": arguments, "code": code, "status": status}
        print(json.dumps(task), file=worker.stdin, flush=True)
        answer = worker.stdout.readline()
        assert answer, "it failed; see what the process printed on stderr"
        return str(json.loads(answer))

    return run


@pytest.mark.slow
def test_a_process_of_its_own_finds_the_package(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "row7"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "interplay.cli", "features", "--row", "7"),
            *("--decoder", "linear", "--budget", "200", "--out", str(out)),
        ],
        env=os.environ | {"PYTHONPATH": str(installed), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "by linear" in done.stdout
    assert ip.load(out / "explanation.interplay").provenance["decoder"]["ran"] == "linear"


@pytest.mark.slow
def test_a_lens_with_a_decoder_an_index_and_an_export(run: Run, tmp_path: Path) -> None:
    shown = run(
        *["features", "--row", "7", "--decoder", "linear", "--budget", "200", "--out", "out/row7"]
    )
    assert "decoded in" in shown
    assert "by linear" in shown
    assert "Weighted, order" in run("show", "out/row7", "--index", "Weighted")
    run("report", "out/row7", "-o", "row7.csv")
    with (tmp_path / "row7.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) > 10
    run("report", "out/row7", "-o", "row7.html")
    page = (tmp_path / "row7.html").read_text(encoding="utf-8")
    assert '"kind":"tiles","title":"The features"' in page
    assert '"Weighted":' in page
    assert json.loads((tmp_path / "out/row7/recipe.json").read_text())["options"] == {"row": 7}
    assert "MATCH (" in run("verify", "out/row7")


@pytest.mark.slow
def test_the_numbers_are_right(run: Run) -> None:
    code = """
import numpy as np, interplay as ip
game = ip.FunctionGame(lambda m: m[:, 0] + 2.0 * (m[:, 1] & m[:, 2]), 12)
linear = ip.explain(game, decoder="linear", budget=300, random_state=1, backend="threads")
print(linear.provenance["backend"], linear.provenance["decoder"]["ran"])
exact = ip.explain(game, budget=4096)
found = exact.interactions("Weighted", order=2)
print(*(f"{float(found[s]) + 0.0:.3f}" for s in [(0,), (1,), (1, 2)]))
"""
    # player 1 is worth 2 where player 2 is kept, with probability 0.9
    assert run(code=code).split() == ["threads", "linear", "1.000", "1.800", "2.000"]


@pytest.mark.slow
def test_a_masking(run: Run) -> None:
    code = """
from interplay.text.prompts.build import mask_prompt
import numpy as np
prompt = mask_prompt("not bad", "{text} film", by="word", masking="redact")
print(prompt.render(np.array([False, True])), prompt.describe()["masking"])
"""
    assert run(code=code).strip() == "███ bad film {'kind': 'redact'}"


@pytest.mark.slow
def test_it_is_listed_and_a_typo_is_told(run: Run) -> None:
    assert "linear" in re.sub(r"\s+", " ", run("features", "--help"))
    said = run("features", "--decoder", "lineer", status=2)
    assert "exact, linear (did you mean 'linear'?)" in re.sub(r"\s+", " ", said)


def test_names_of_the_package_itself_cannot_be_taken() -> None:
    point = extensions.ExtensionPoint("x", "console_scripts", {"pip": "math:pi"})
    assert point["pip"] == 3.141592653589793
    assert "pytest" in point
    with pytest.raises(ValueError, match=r"x='pipp' is unknown; .*\(did you mean 'pip'\?\)"):
        point["pipp"]


def test_an_entry_point_that_names_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = extensions.EntryPoint("bad", "math:pi", "interplay.decoders")
    monkeypatch.setitem(extensions.DECODERS._entries, "bad", entry)
    with pytest.raises(TypeError, match=r"'bad' of interplay\.decoders names 3\.14"):
        ip.explain(ip.FunctionGame(lambda masks: masks[:, 0], 3), decoder="bad")


@pytest.mark.parametrize(
    ("names", "point"),
    [
        (extensions.DecoderName, extensions.DECODERS),
        (extensions.IndexName, extensions.INDICES),
        (extensions.BackendName, extensions.BACKENDS),
        (extensions.MaskingName, extensions.MASKINGS),
    ],
)
def test_the_types_name_what_there_is(names: object, point: extensions.ExtensionPoint) -> None:
    assert get_args(names) == tuple(point.own)
    for name in point.own:
        assert point[name] is not None
    assert ON_ERROR == ("raise", "skip")
