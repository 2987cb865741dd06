"""What is kept on disk: the ledger's documents."""
