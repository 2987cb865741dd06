"""Proves configuration and hosts before anything depends on them."""
