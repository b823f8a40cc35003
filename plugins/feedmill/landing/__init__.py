"""The landing zone: finding and registering files, and putting files there."""
