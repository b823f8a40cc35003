"""What is wrong between ledger, lake and landing zone; mending it, and rebuilding a ledger that was lost."""
