"""Reports: what an explanation looks like."""

from interplay.report.html import to_html

__all__ = ["to_html"]
