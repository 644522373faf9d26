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
        asks: the script asks the server that the page came from.
    """

    script: str
    style: str
    asks: bool = False

    @property
    def policy(self) -> str:
        """A content security policy that allows these two, pictures from data, and nothing else."""
        script, style = _hash(self.script), _hash(self.style)
        asked = "connect-src 'self'; " if self.asks else ""
        return (
            f"default-src 'none'; script-src {script}; style-src {style}; img-src data:; "
            f"{asked}base-uri 'none'; form-action 'none'"
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
def bundle(name: str = "page") -> Bundle:
    """A bundle of this installation.

    Args:
        name: ``"page"``: that of a page that needs no server; ``"live"``: the same page, with a
            server that answers; ``"studio"``: the page on which runs are made; ``"widget"``: the
            page in a notebook, as a module.

    Raises:
        FileNotFoundError: it was not built.
    """
    folder = files("interplay.report") / "built"
    names = (f"{name}.js", "page.css" if name in ("page", "widget") else "live.css")
    try:
        texts = [(folder / file).read_text("utf-8") for file in names]
        return Bundle(texts[0], texts[1], asks=name in ("live", "studio"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder} does not hold the page's script and style, so this source tree was not "
            "built; run `make page` in it (needs npm), or install interplay with pip"
        ) from error
