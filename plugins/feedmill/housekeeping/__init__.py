"""The daily upkeep of every table: retention, and steps that keep publishes and reads fast. All can be repeated."""
