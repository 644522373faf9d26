"""What the site has beside the pages of docs/, and where links lead.

- a page of each notebook in docs/tutorials, and the notebook itself;
- the changelog, and how to contribute and to report a weakness, from the root of the repository;
- the HTML page of each recorded explanation in docs/gallery, as this version of Interplay draws it;
- the commands' help, from the commands themselves;
- files of the repository that pages link to, under ``files/``.

Nothing is written into docs/.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

HERE = Path(__file__).parent
DOCS = HERE.parent
ROOT = DOCS.parent
sys.path.insert(0, str(HERE))

import notebooks  # noqa: E402
from gallery import pages  # noqa: E402
from help import commands  # noqa: E402
from reference import pages as reference  # noqa: E402

OF_ROOT = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
"""Pages of the site, and the files of the repository that they show."""
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made, and the files that pages link to."""
    made: dict[str, str | bytes] = {
        f"tutorials/{path.stem}.md": notebooks.page(path)
        for path in sorted(notebooks.TUTORIALS.glob("*.ipynb"))
    }
    for name, path in OF_ROOT.items():
        made[name] = (ROOT / path).read_text(encoding="utf-8")
    made["reference/command-line.md"] = commands()
    made |= pages() | reference()
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    for file in list(files.documentation_pages()):
        for link in LINK.finditer(_prose(file.content_string)):
            path = _target(file.src_uri, link[2])
            if path.is_file() and not path.is_relative_to(DOCS) and path.parent != ROOT:
                name = f"files/{path.relative_to(ROOT)}"
                if files.get_file_from_path(name) is None:
                    files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where the site has what they name."""

    def led(link: re.Match[str]) -> str:
        name = _on_site(page.file.src_uri, link[2], files)
        return link[1] + posixpath.relpath(name, posixpath.dirname(page.file.src_uri)) + link[3]

    fences = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else LINK.sub(led, part) for part in fences)


def _prose(markdown: str) -> str:
    return re.sub(r"^```.*?^```$", "", markdown, flags=re.M | re.S)


def _target(page: str, link: str) -> Path:
    """The file that a link on a page names; pages of the root's files link from there."""
    folder = ROOT if page in OF_ROOT else (DOCS / page).parent
    if page.startswith("files/"):
        folder = (ROOT / page.removeprefix("files/")).parent
    return (folder / link).resolve()


def _on_site(page: str, link: str, files: Files) -> str:
    """The site's name of what a link leads to, or the link's own where the site lacks it."""
    path = _target(page, link)
    if path == ROOT / "README.md":
        return "index.md"
    for name, of_root in OF_ROOT.items():
        if path == ROOT / of_root:
            return name
    if path.is_relative_to(DOCS):
        inside = path.relative_to(DOCS).as_posix()
        return inside.replace(".ipynb", ".md").replace(".interplay", ".html")
    if path.is_relative_to(ROOT):
        inside = path.relative_to(ROOT).as_posix()
        if files.get_file_from_path(f"files/{inside}"):
            return f"files/{inside}"
        return inside
    return posixpath.join(posixpath.dirname(page), link)


def on_page_context(context: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Leave out the links to edit a page, which has no address."""
    context["page"].edit_url = None
    return context


def on_post_page(output: str, **_: Any) -> str:
    """Name the dialog of the search for readers of the screen, which the theme leaves without."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')
