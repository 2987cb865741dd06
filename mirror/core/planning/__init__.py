"""Two snapshots, the ledger and the settings become a plan."""
