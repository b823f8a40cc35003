"""The daily upkeep of every table: retention, and what keeps publishes and reads fast. Each step can be repeated."""
