"""Transforms of the schema ``events``: from log records to clean events."""
