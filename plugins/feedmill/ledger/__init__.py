"""The relational record of files, builds, verdicts and published partitions."""
