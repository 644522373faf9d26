"""The structure: which rooms there are, what each may import, and that nothing runs in a circle.

Imports are read from the source, those for type checkers and those inside functions included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "interplay"
ROAD = (
    ("_types", "extensions"),
    ("_arrays", "errors"),
    ("fourier",),
    ("game",),
    ("designs",),
    ("ablation", "decoders", "optimize"),
    ("confirmation",),
    ("explanation",),
    ("report", "plots", "audit"),
    ("toolkits",),
    ("cli",),
)
"""From left to right: a module imports from its own room and from what is left of it."""
LENSES = ("text", "components", "training", "tabular", "images")
"""Games, which know nothing right of ``game``; what is made of their explanations does."""
ANALYSIS = "analysis"
"""The folder of a lens in which explanations are used."""
MOST_ENTRIES = 24


def modules() -> dict[str, Path]:
    """Every module by its dotted name below ``interplay``; packages without ``.__init__``."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """The modules below ``interplay`` that a module imports."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            parts = target.split(".")
            if parts[0] != "interplay":
                continue
            while ".".join(parts[1:]) not in MODULES:
                parts.pop()
            yield ".".join(parts[1:])


IMPORTS = {name: sorted(set(imports(name)) - {name}) for name in MODULES}


def room(name: str) -> str:
    return name.split(".")[0]


def rank(name: str) -> int:
    return next(number for number, rooms in enumerate(ROAD) if room(name) in rooms)


def is_game_side(name: str) -> bool:
    """Whether a module belongs to a lens and makes games."""
    parts = name.split(".")
    return parts[0] in LENSES and len(parts) > 1 and parts[1] != ANALYSIS


def test_the_listing_shows_the_road() -> None:
    shown = {p.name for p in PACKAGE.iterdir() if p.name != "__pycache__"}
    assert len(shown) <= MOST_ENTRIES, sorted(shown)
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (listing,) = (block for block in page.split("```") if block.startswith("\nsrc/interplay/"))
    lines = [line.split(maxsplit=1) for line in listing.strip().splitlines()[1:]]
    assert {name.rstrip("/") for name, _ in lines} == shown
    assert all(text for _, text in lines)
    assert {room(name) for name in MODULES if name} == {*LENSES, *(r for rs in ROAD for r in rs)}


def test_nothing_imports_in_a_circle() -> None:
    try:
        tuple(TopologicalSorter(IMPORTS).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", [n for n in MODULES if n and room(n) not in LENSES])
def test_no_arrow_runs_back_up(name: str) -> None:
    for target in IMPORTS[name]:
        if not target:  # the package itself
            assert room(name) == "cli"
        elif room(target) in LENSES:
            assert room(name) in ("toolkits", "cli"), f"{name} imports the lens {target}"
        else:
            assert room(target) == room(name) or rank(target) < rank(name), f"{name} -> {target}"


@pytest.mark.parametrize("name", [n for n in MODULES if room(n) in LENSES])
def test_a_lens_knows_nothing_right_of_the_game(name: str) -> None:
    for target in IMPORTS[name]:
        if is_game_side(name):
            assert is_game_side(target) or room(target) in LENSES or rank(target) <= rank("game"), (
                f"{name} -> {target}"
            )
            assert not target.startswith(tuple(f"{lens}.{ANALYSIS}" for lens in LENSES))
        else:
            assert room(target) in LENSES or rank(target) < rank("report"), f"{name} -> {target}"


@pytest.mark.parametrize("name", [n for n, path in MODULES.items() if path.stem == "__init__"])
def test_an_init_holds_names_only(name: str) -> None:
    body = ast.parse(MODULES[name].read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            body += [*node.body, *node.orelse]  # names that are imported when first used
            continue
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert is_text or isinstance(node, ast.Import | ast.ImportFrom | ast.Assign), (
            f"{name}, line {node.lineno}"
        )


def test_no_name_is_a_module_and_a_function() -> None:
    import interplay

    for name in interplay.__all__:
        if name in MODULES:
            assert getattr(interplay, name).__class__.__name__ == "module", name


def test_names_that_are_imported_when_first_used_are_those_that_type_checkers_see() -> None:
    import interplay

    (node,) = (
        node
        for node in ast.parse(MODULES[""].read_text(encoding="utf-8")).body
        if isinstance(node, ast.If)
    )
    seen: dict[str, object] = {}
    exec(compile(ast.Module(node.body, []), "interplay", "exec"), seen)
    for name in interplay.__all__:
        assert getattr(interplay, name) is seen[name], name
