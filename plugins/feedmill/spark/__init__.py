"""A Spark session on whatever the connection names."""
