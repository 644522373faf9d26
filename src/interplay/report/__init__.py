"""Reports: what an explanation looks like."""
