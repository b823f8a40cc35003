"""Transforms of the schema ``serving``: rankings that a product shows."""
