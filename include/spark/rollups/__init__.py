"""Transforms of the schema ``rollups``: sums of clean events."""
