"""The runner: one entry that builds any range of any table on Spark."""
