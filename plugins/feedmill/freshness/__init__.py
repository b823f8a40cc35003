"""How every partition is, and why: facts in, states out."""
