"""What each command prints: tables, live progress, errors."""
