"""What the hosts say and what is wanted of it, as plain values."""
