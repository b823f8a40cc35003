"""What a team owns: its tables, their maintainers, transforms, DDL, log formats and event types."""
