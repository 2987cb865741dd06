"""What the ledger remembers, and how it changes."""
