"""Transforms of the schema ``catalog``: what is known of the things that a feed shows."""
