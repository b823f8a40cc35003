"""``make demo`` and ``make demo-full``."""
