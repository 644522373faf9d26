"""Bridges to the toolkits that people already use, one module for each, imported when first used.

``interplay.toolkits.shapiq`` needs shapiq, and so on; a package that is missing is an error that
names the command which installs it.
"""

from interplay.toolkits._lazy import __dir__, __getattr__

__all__ = ["__dir__", "__getattr__"]
