"""The page's script and style, bundled when the package is built (see ``hatch_build.py``)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Bundle:
    """What a page holds to be interactive.

    Attributes:
        script: JavaScript, the licences of the libraries in it included.
        style: CSS.
    """

    script: str
    style: str

    @property
    def policy(self) -> str:
        """A content security policy that allows these two, pictures from data, and nothing else."""
        script, style = _hash(self.script), _hash(self.style)
        return (
            f"default-src 'none'; script-src {script}; style-src {style}; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )

    @property
    def static_policy(self) -> str:
        """That of a page without a script."""
        style = _hash(self.style)
        return f"default-src 'none'; style-src {style}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


@cache
def bundle() -> Bundle:
    """The bundle of this installation.

    Raises:
        FileNotFoundError: it was not built.
    """
    folder = files("interplay.report") / "built"
    try:
        return Bundle(*((folder / name).read_text("utf-8") for name in ("page.js", "page.css")))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder} does not hold the page's script and style, so this source tree was not "
            "built; run `make page` in it (needs npm), or install interplay with pip"
        ) from error
