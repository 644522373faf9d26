"""The documentation holds: its Python runs, and its commands, names, paths and links exist.

The Python blocks of a page run one after another in one namespace, in a temporary folder. A test
that takes a page (:func:`of`) must run all its blocks, and a page that no test takes fails
:func:`test_the_python_of_every_page_runs`.
"""

from __future__ import annotations

import csv
import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pytest
import typer

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray, Json
from interplay.audit.wanted import checked_expectations
from interplay.cli.app import app
from interplay.cli.commands import Deferred
from interplay.text.api.account import Usage
from tests.cli.running import run
from tests.text import servers
from tests.toolkits.test_pages import assert_prints

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
)
ELSEWHERE = {"docs/extending.md": "tests/test_extensions.py"}
"""Pages whose Python is a package, which its own test installs and runs."""
TOOLKITS = tuple(page for page in PAGES if page.startswith("docs/toolkits/"))
"""Pages that need packages of their own, which tests/toolkits/test_pages.py runs."""
TAKEN: list[str] = []
"""The pages that tests of this module take."""


@cache
def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language; "" stands for those that name none."""
    fences = re.finditer(r"^```(\w*)\n(.*?)^```$", text_of(page), re.M | re.S)
    return [fence[2] for fence in fences if fence[1] == language]


class Page:
    """The Python blocks of a page, to be run in their order in one namespace."""

    def __init__(self, path: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.blocks = blocks(path, "python")
        self.names: dict[str, Any] = {"__name__": "page"}
        self.n_run = 0
        self._capsys = capsys

    def run(self, replace: dict[str, str] | None = None) -> str:
        """Run the next block, with some of its text replaced, and return what it prints."""
        block = self.blocks[self.n_run]
        for old, new in (replace or {}).items():
            assert old in block, f"{self.path} no longer says {old!r}"
            block = block.replace(old, new)
        code = self._compiled(block)
        self.n_run += 1
        self._capsys.readouterr()
        exec(code, self.names)
        return self._capsys.readouterr().out

    def _compiled(self, block: str) -> CodeType:
        """The block as code that names the page and its line in a traceback."""
        before = text_of(self.path).partition(self.blocks[self.n_run])[0]
        return compile("\n" * before.count("\n") + block, ROOT / self.path, "exec")


@pytest.fixture
def page(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Page]:
    """The page that the test takes, in an empty folder but for the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    made = Page(request.param, capsys)
    yield made
    assert made.n_run == len(made.blocks), f"{made.path} has a Python block that was not run"


def of(path: str) -> pytest.MarkDecorator:
    """Gives a test a page as its argument ``page``."""
    TAKEN.append(path)
    return pytest.mark.parametrize("page", [path], indirect=True)


def test_the_python_of_every_page_runs() -> None:
    with_python = {page for page in PAGES if blocks(page, "python")}
    assert sorted([*TAKEN, *ELSEWHERE]) == sorted(with_python.difference(TOOLKITS))
    for path, test in ELSEWHERE.items():
        assert Path(path).name in (ROOT / test).read_text(encoding="utf-8")


@of("README.md")
def test_readme(page: Page) -> None:
    assert page.run().splitlines()[1].split()[1:] == ["1", "×", "2"]
    assert Path("a.html").exists()


@of("docs/concepts/indices.md")
def test_indices(page: Page) -> None:
    assert_prints(blocks(page.path, "text")[0], page.run())


@pytest.mark.model
@of("docs/start.md")
def test_start(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page.run().startswith("Usable. ")
    assert Path("key.html").exists()

    monkeypatch.setattr("tests.cli.running.WIDTH", "88")
    recorded = ROOT / "docs" / "gallery" / "handover.interplay"
    printed = run("show", recorded, "--order", 3, "--top", 6)
    assert_prints(blocks(page.path, "text")[0], printed)


@pytest.mark.model
@of("docs/tour.md")
def test_tour(page: Page) -> None:
    page.run()
    assert Path("a.html").exists()
    interactions = page.names["explanation"].interactions("FSII", order=2)
    assert interactions.top(1, min_order=2).sets == [(1, 2)]

    page.run()
    assert page.names["explanation"].faithfulness.exact

    printed = page.run()
    assert page.names["best"].proven
    assert "linear " in printed

    assert "to evaluate   0, in calls of 0" in page.run()  # the second block has paid for it


@of("docs/measures.md")
def test_measures(page: Page) -> None:
    near, share, share_of_half = page.run().splitlines()
    assert near == "keep:0.95 True"
    assert float(share.split()[-1]) > 0.2 + float(share_of_half.split()[-1])


@pytest.mark.model
@of("docs/text.md")
def test_text(page: Page) -> None:
    assert "<|im_start|>user\nThe door is green. Which colour has it?" in page.run()
    assert page.names["game"].players == ("Answer", "in", "one", "word.")

    printed = page.run()
    assert "gender: Ms → Mr, She → He" in printed
    assert "He works at the library. The application of Mr Reed is" in printed

    first, _, last = page.run().splitlines()[1].partition("Tom has 3 apples.")[2].partition(".")
    assert first.strip()  # a step of the model's own
    assert last == " So he has 7."

    printed = page.run()
    assert "['The door is green.', 'It rains.', \"logprob of ' green'" in printed

    printed = page.run()
    assert "home × flight" in printed
    assert page.names["game"].usage.calls["weather", "called"] == 2

    report = "Penicillin harms Mrs Hill. It snows.\n\nThe lift is out of order."
    Path("report.txt").write_text(report, encoding="utf-8")
    printed = page.run()
    assert re.search(r"^Level 3: \d players by .*word", printed, re.M)
    assert "penicillin" in printed.lower().rpartition("FSII")[2]
    assert Path("a.html").exists()

    asked = "The door was red. Then Tom painted it green. Question: What colour is the door?"
    requests = [[f"{asked}\nAnswer: It is", f" {colour}"] for colour in ("green", "red")]
    sample = {"doc_id": 17, "target": 0, "arguments": requests, "resps": [[-1.7], [-1.0]]}
    Path("samples_doors.jsonl").write_text(json.dumps(sample | {"acc": 0.0}), encoding="utf-8")
    assert_prints(blocks(page.path, "text")[0], page.run())


@pytest.mark.model
@of("docs/audits.md")
def test_audits(page: Page) -> None:
    said = page.run()
    assert "6 prompts were explained, 6 of them now" in said
    audit = page.names["audit"]
    assert ("fact",) in [finding.roles for finding in audit.findings]
    assert Path("audit/audit.html").exists()
    assert not audit.refused


@pytest.mark.model
@of("docs/auditing.md")
def test_auditing(page: Page) -> None:
    verdict, *_ = page.run().split()
    test = page.names["test"]
    assert verdict == test.verdict.split()[0]
    assert all(change.exhaustive for change in test.changes)
    said = page.run()
    comparison = page.names["comparison"]
    assert [(one.players, one.kind) for one in comparison.changes() if one.confirmed] == [
        ((4, 5), "appeared")
    ]
    assert said.endswith("different\n")
    expected = page.run().splitlines()
    assert [line.partition(":")[0] for line in expected] == ["met"] * 4


def test_the_gate_of_the_page_can_be_run() -> None:
    """Its file is one of expectations, and the commands of its workflow and their options exist."""
    (wanted,) = blocks("docs/auditing.md", "toml")
    checked = checked_expectations(tomllib.loads(wanted))
    assert set(checked) == {"r2", "matters", "indifferent", "unchanged"}
    (workflow,) = blocks("docs/auditing.md", "yaml")
    folded = re.sub(r"\n {10}(?=\S)", " ", workflow)
    commands = re.findall(r"(?:run: >- |run: |^ +)(interplay .*)", folded, re.M)
    assert [command.split()[1] for command in commands] == ["text", "compare"]
    for command in commands:
        assert_exists(command)


@of("docs/report.md")
def test_report(page: Page) -> None:
    assert page.run().splitlines()[0] == (
        "Either of 0 'note' and 2 'daughter' suffices: without both the score falls from 0.78 to "
        "0.02, without one it is 0.78."
    )
    necessary, sufficient = page.run().splitlines()
    assert necessary == "('note', 'daughter') 0.02"
    assert sufficient == "('note',) 0.78"
    assert Path("allergy.html").exists()


@pytest.mark.slow
@of("docs/api-models.md")
def test_api_models(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LISTED", (*servers.LISTED, " positive", " negative"))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with servers.serving(lambda body, _: servers.Reply(servers.truthful(body))) as server:
        monkeypatch.setattr("interplay.text.api.game.OPENAI_URL", server.url)
        printed = page.run({"http://127.0.0.1:8000/v1": server.url})
        usage = page.names["game"].usage
        assert printed == f"{usage}\n"
        (shown,) = re.findall(r"# (Usage\(.*\))", page.blocks[0])
        assert re.sub(r"tokens=\d+", "tokens=...", str(usage)) == shown
        # two ablations are asked twice
        assert usage == Usage(requests=503, tokens=usage.tokens)

        made: list[ip.text.ApiGame] = []

        def remember(*args: Any, **kwargs: Any) -> None:
            made.append(ip.text.ApiGame(*args, **kwargs))

        page.names["ApiGame"] = remember
        page.run({"http://127.0.0.1:8080/v1": server.url})
        assert [game.method for game in made] == ["exact", "top_logprobs", "generate"]
        for game in made:
            values = game(np.array([[True, True], [True, False]]))
            assert len(np.unique(values)) > 1
            assert game.usage.unlisted == 0

    printed = page.run()
    (shown,) = re.findall(r"print\(explanation.*# (.*)", page.blocks[2])
    assert printed == f"{shown}\n"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster on this machine, which ``address="auto"`` finds."""
    ray = pytest.importorskip("ray", reason="needs ray: pip install 'interplay[ray]'")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@of("docs/scaling.md")
def test_scaling(page: Page, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Handover:  # a local class, which travels to the actors as it is
        """As many players as the handover of the demo, and calls as large."""

        n_players = 22
        players = tuple(map(str, range(22)))
        fingerprint = "handover"
        batch_size = 50

        def __call__(self, masks: BoolArray, /) -> FloatArray:
            return masks[:, 0] * 2.0 - masks[:, 1] * masks[:, 2]

        def arrange(self, masks: BoolArray, /) -> IntArray:
            return np.arange(len(masks))

        def cost(self, masks: BoolArray, /) -> FloatArray:
            return masks.sum(axis=1).astype(float)

        def describe(self) -> Json:
            return {}

    # the first call is as long for the plan as a language model's
    monkeypatch.setattr("interplay.explanation.plan._WARM_SECONDS", 0.0)
    page.names["game"] = Handover()
    printed = page.run().splitlines()
    shown = blocks(page.path, "")[0].splitlines()
    assert printed[:4] == shown[:4]
    assert [line.split()[0] for line in printed] == [line.split()[0] for line in shown]
    assert "(50 tried)" in "".join(printed)

    assert page.run().split() == ["True", "True"]  # a cheaper game
    page.run(
        {"budget=20_000": "budget=500", "n_actors=16, num_cpus=4, num_gpus=1": "n_actors=1"},
    )
    provenance = page.names["explanation"].provenance
    assert provenance["backend"] == "ray"
    assert provenance["budget"]["planned"] == 500


@pytest.mark.model
@of("docs/components.md")
def test_components(page: Page) -> None:
    printed = page.run()
    assert "linear " in printed
    assert "spectrum 8 " in printed
    assert "L12.latent" in page.run()
    printed = page.run()
    assert "] False" in printed  # no gradient of the accuracy
    assert "attribution [" in printed
    printed = page.run()
    assert "gp " in printed
    assert "2 rounds, " in printed
    assert "gp, faithful, measured" in Path("circuits.html").read_text(encoding="utf-8")
    printed = page.run()
    assert "learned mask, faithful" in printed
    printed = page.run()
    assert "interplay " in printed


@of("docs/images.md")
def test_images(page: Page) -> None:
    digit, _, joint, _ = [block for block in blocks(page.path, "") if not block.startswith("model")]
    assert_prints(digit, page.run())
    assert Path("eight.html").exists()
    assert_prints(joint, page.run())


@pytest.mark.model
@of("docs/joint.md")
def test_joint(page: Page) -> None:
    printed = page.run()
    assert '"not" × "bad." × L21.H1' in printed.split("strongest first")[1].splitlines()[1]


@pytest.mark.slow
@pytest.mark.model
@of("docs/training.md")
def test_training(page: Page) -> None:
    printed = page.run()
    assert "redundancies, same class: " in printed
    assert "random (2, 5)" in printed
    printed = page.run()
    assert "learned        mean log-probability" in printed
    shown = next(block for block in blocks(page.path, "") if block.startswith("FSII"))
    table = printed[printed.index("FSII") :].splitlines()[:4]
    assert_prints(shown, "\n".join(table))
    assert "purple. (poison) -" in printed


@pytest.mark.slow
@of("docs/tabular.md")
def test_tabular(page: Page) -> None:
    pytest.importorskip("skops", reason="needs skops: pip install 'interplay[tabular]'")
    for shown in blocks(page.path, "")[:2]:
        assert page.run() == shown
    assert page.run() == ""
    command = blocks(page.path, "")[2].replace("\\\n", " ").splitlines()
    given = [shlex.split(line)[1:] for line in command]
    assert "30 features of row 3" in run(*given[0], "--decoder", "lasso", "--budget", 100)
    saved = ip.load("out/tumour/explanation.interplay")
    assert saved.players == page.names["explanation"].players
    assert "MATCH (" in run(*given[1])


@pytest.mark.slow
@of("docs/plots.md")
def test_plots(page: Page) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    (shown,) = re.findall(r'get_title\("left"\).*  # (.*)', page.blocks[0])
    assert page.run() == f"{shown}\n"
    assert Path("bars.pdf").exists()
    assert Path("upset.png").exists()
    (steps,) = re.findall(r"steps.patches.*  # (.*)", page.blocks[1])
    assert page.run() == f"{steps}\n"


@pytest.mark.parametrize("path", [p for p in PAGES if p not in ELSEWHERE])
def test_the_commands_of_a_page_exist(path: str) -> None:
    shell = "".join(blocks(path, "")).replace("\\\n", " ")
    for line in re.findall(r"^interplay (?!\.\.\.).*", shell, re.M):
        assert_exists(line)


def assert_exists(line: str) -> None:
    """Fail unless a line's command and its options exist."""
    command: Any = typer.main.get_command(app)
    for word in shlex.split(line, comments=True)[1:]:
        if hasattr(command, "commands"):
            assert word in command.commands, line
            command = command.commands[word]
            command = command.loaded() if isinstance(command, Deferred) else command
        elif re.match("--?[a-z]", word):
            assert any(word in parameter.opts for parameter in command.params), (line, word)


@pytest.mark.parametrize("path", PAGES)
def test_the_names_of_a_page_exist(path: str) -> None:
    quoted = " ".join(re.findall(r"`([^`\n]+)`", text_of(path)))
    for name in re.findall(r"\binterplay(?:\.\w+)+(?![\w/.])", quoted):
        if not name.startswith(tuple(f"interplay.{group}" for group in ENTRY_POINTS)):
            _resolve(name)
    for name in re.findall(r"\b(?:src|benchmarks|examples|tests)/[\w/.-]*\w", quoted):
        assert (ROOT / name).exists(), name
    makefile = text_of("Makefile")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", text_of(path), re.M):
        has_rule = re.search(rf"^{target}:", makefile, re.M) is not None
        script = ROOT / f"benchmarks/{target.replace('-', '_')}.py"
        assert has_rule or (target.startswith("bench-") and script.exists()), target


ENTRY_POINTS = ("decoders", "indices", "backends", "maskings", "exports", "commands")
"""The groups of entry points, which look like names of modules."""


def _resolve(name: str) -> None:
    """Import a dotted name: modules as far as they go, attributes from there."""
    value: Any = ip
    try:
        for number, part in enumerate(parts := name.split("."), 1):
            if number > 1 and not hasattr(value, part):
                value = importlib.import_module(".".join(parts[:number]))
            elif number > 1:
                value = getattr(value, part)
    except ip.MissingDependencyError:  # a toolkit, which tests/toolkits has
        return


@pytest.mark.parametrize("path", PAGES)
def test_no_page_holds_both_sides_of_a_merge(path: str) -> None:
    sides = re.findall(r"^(?:<{7}|>{7}) .*$", text_of(path), flags=re.MULTILINE)
    assert sides == []


@pytest.mark.parametrize("path", PAGES)
def test_the_links_of_a_page_lead_somewhere(path: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", text_of(path), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not link.startswith(("http:", "https:")):
            target, _, anchor = link.partition("#")
            file = (ROOT / path).parent / target if target else ROOT / path
            assert file.exists(), link
            assert not anchor or anchor in _anchors(file), link


def _anchors(file: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


METHODS_OF_CIRCUITS = {
    "Interplay": "interplay",
    "single importance": "single",
    "attribution patching": "attribution",
    "EAP-IG of nodes": "eap-ig",
    "random search": "random",
    "ProxySPEX": "proxyspex",
    "`gp`, order 1": "gp, order 1",
}


def _recorded_circuits(title: str, units: str) -> tuple[list[str], list[dict[str, str]]]:
    """The lines of a section of the case study, and the recorded draws of these units."""
    with (ROOT / "docs/case-studies/circuits.csv").open(encoding="utf-8", newline="") as file:
        draws = [draw for draw in csv.DictReader(file) if draw["units"] == units]
    section = text_of("docs/case-studies/circuits.md").partition(f"\n{title}\n")[2]
    return section.partition("\n#")[0].splitlines(), draws


def test_the_circuits_of_heads_are_those_of_the_recorded_draws() -> None:
    """The first draw of two tasks, three columns each."""
    lines, draws = _recorded_circuits("### The search as it is now", "heads")
    methods = METHODS_OF_CIRCUITS | {"EAP-IG, layer by layer": "eap-ig by layer"}
    seen = 0
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] not in methods:
            continue
        expected = [
            float(draw[column])
            for task in ("agreement", "facts")
            for draw in draws
            if (draw["task"], draw["seed"], draw["method"]) == (task, "0", methods[cells[0]])
            for column in ("cpr", "cmd", "correct")
        ]
        assert [float(c.strip("*")) for c in cells[2:]] == pytest.approx(expected, abs=0.0051), line
        seen += 1
    assert seen == len(methods)


def test_the_circuits_of_heads_and_mlps_are_those_of_the_recorded_draws() -> None:
    """Medians over draws, and over tasks, in the table of the case study."""
    lines, draws = _recorded_circuits("## Heads and MLPs", "all")
    methods = METHODS_OF_CIRCUITS
    columns = {"**CPR**": "cpr", "**CMD**": "cmd", "**accuracy**": "correct"}
    tasks = ("agreement", "indirect_object", "facts", "greater_than")
    column, seen = "", 0
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        column = next((columns[key] for key in columns if cells[0].startswith(key)), column)
        if cells[0] not in methods or len(cells) != 7:
            continue
        of_tasks = [
            np.median(
                [
                    float(draw[column])
                    for draw in draws
                    if (draw["task"], draw["method"]) == (task, methods[cells[0]])
                ]
            )
            for task in tasks
        ]
        told = [float(cell.strip("*")) for cell in cells[2:]]
        assert told == pytest.approx([*of_tasks, np.median(of_tasks)], abs=0.0051), line
        seen += 1
    assert seen == len(columns) * len(methods)
