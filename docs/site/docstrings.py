"""Docstrings as the reference reads them: examples as code, and no marks of Sphinx."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Names the section of an example as the parser knows it, and unwraps references."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of each object once it was read."""
        if obj.docstring is not None:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.M)
            obj.docstring.value = re.sub(
                r":(?:class|data|exc|func|meth|mod|attr|obj):`~?([^`]+)`", r"`\1`", text
            )
