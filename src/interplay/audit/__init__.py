"""An audit of an explanation: what was stored and what was made of it, derived again and compared."""
