"""Finding and mending differences between ledger, lake and landing zone; rebuilding a lost ledger."""
