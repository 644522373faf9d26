"""Bridges to the toolkits that people already use, one module for each, imported when first used.

``interplay.toolkits.shapiq`` needs shapiq, and so on; a package that is missing is an error that
names the command which installs it.
"""

from interplay.extensions import lazily

__getattr__, __dir__ = lazily(__name__)

__all__ = ["__dir__", "__getattr__"]
