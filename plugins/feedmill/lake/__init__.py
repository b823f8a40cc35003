"""The Iceberg lake: tables from DDL, branches, pinned reads, and publishing by metadata alone."""
