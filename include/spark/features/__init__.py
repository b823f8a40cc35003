"""Transforms of the schema ``features``: what models and rankings know of users and items."""
