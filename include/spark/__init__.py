"""Transforms and log formats: pure functions of Spark DataFrames."""
