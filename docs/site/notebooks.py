"""The tutorials: run a notebook, keep what it prints, and write it as a page of the site.

``python docs/site/notebooks.py`` runs all notebooks and writes their outputs into them;
``python docs/site/notebooks.py docs/tutorials/heads.ipynb`` one of them. The cells of a notebook
run one after another in one namespace. What they print and draw is kept, as Jupyter would keep it;
the value of a last line is not shown.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).parents[1] / "tutorials"


def run(notebook: dict[str, Any], name: str = "notebook") -> Iterator[tuple[dict[str, Any], Any]]:
    """Run the code cells in their order, and yield each with the outputs that it has now."""
    from matplotlib import pyplot

    pyplot.close("all")  # figures that others left open are not the notebook's
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code":
            source, printed = "".join(cell["source"]), io.StringIO()
            with redirect_stdout(printed):
                exec(compile(source, f"{name}, cell {number}", "exec"), names)
            outputs = []
            if text := printed.getvalue():
                lines = text.splitlines(keepends=True)
                outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
            for figure in map(pyplot.figure, pyplot.get_fignums()):
                image = {"image/png": _png(figure)}
                outputs.append({"data": image, "metadata": {}, "output_type": "display_data"})
            pyplot.close("all")
            yield cell, outputs


def _png(figure: Any) -> str:
    """A figure as a small PNG in base64, the same bytes for the same drawing."""
    file = io.BytesIO()
    figure.savefig(file, dpi=80, bbox_inches="tight", metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()


def printed(outputs: list[dict[str, Any]]) -> str:
    """What the outputs of a cell print."""
    return "".join("".join(output.get("text", ())) for output in outputs)


def page(path: Path) -> str:
    """The notebook as Markdown: its code, what it prints, and its pictures."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        if text := printed(cell["outputs"]):
            parts.append(f"```text\n{text.rstrip()}\n```")
        for output in cell["outputs"]:
            if "data" in output:
                data = "".join(output["data"]["image/png"]).replace("\n", "")
                parts.append(f"![What the cell draws](data:image/png;base64,{data})")
    title, _, rest = "\n\n".join(parts).partition("\n")
    link = f'<a href="../{path.name}" download>Download this page as a notebook</a>'
    return f"{title}\n\n{link}\n{rest}\n"


def main() -> None:
    """Run the notebooks that are named, or all, and write their outputs into them."""
    import matplotlib as mpl

    mpl.use("Agg")
    for path in map(Path, sys.argv[1:] or sorted(TUTORIALS.glob("*.ipynb"))):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell, outputs in run(notebook, path.name):
            cell["outputs"], cell["execution_count"] = outputs, None
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
        path.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
