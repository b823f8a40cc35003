"""Looking at published rows: SQL, and what a build would change."""
