"""The pages of the reference: a directive for each public name, which mkdocstrings fills."""

from __future__ import annotations

import ast
from pathlib import Path

DOCS = Path(__file__).parents[1]
PACKAGE = DOCS.parent / "src" / "interplay"
SAID = {
    "interplay": "The verbs and what they return. The lenses have pages of their own.",
    "text": "Texts, prompts, documents and chats as games; [how-to](../text.md).",
    "components": "Heads, MLPs, neurons and layers as games; [how-to](../components.md).",
    "training": "Training data as games; [how-to](../training.md).",
    "tabular": "The features of a row as a game; [how-to](../tabular.md).",
    "optimize": "The best choice of players by an explanation, with a proof.",
    "plots": "Static plots; [how-to](../plots.md).",
    "images": "Regions of images as games; [how-to](../images.md).",
}
TOOLKITS = ("shapiq", "shap", "captum", "inseq", "logs")


def pages() -> dict[str, str]:
    """The pages by their names on the site; a module without a how-to has none."""
    made = {}
    for name, words in SAID.items():
        folder = PACKAGE if name == "interplay" else PACKAGE / name
        page = DOCS / f"{name}.md"
        if folder.is_dir() and (page.exists() or f"../{name}.md" not in words):
            module = "interplay" if name == "interplay" else f"interplay.{name}"
            parts = [f"# {module}\n\n{words}"]
            parts += [f"::: {module}.{public}" for public in _public(folder)]
            made[f"reference/{name}.md"] = "\n\n".join(parts) + "\n"
    parts = ["# interplay.toolkits\n\nBridges to other packages; [how-to](../toolkits.md)."]
    parts += [f"::: interplay.toolkits.{name}" for name in TOOLKITS]
    made["reference/toolkits.md"] = "\n\n".join(parts) + "\n"
    return made


def _public(folder: Path) -> list[str]:
    """What ``__all__`` lists, but for modules, which have their own pages: verbs first."""
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    public = [name for name in names if not (folder / name).is_dir() and name != "spex"]
    return sorted(public, key=lambda name: (name.isupper(), name.endswith("Error"), name[0] < "a"))
