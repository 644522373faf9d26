"""An audit of an explanation: it is derived again from what was stored, and compared."""
