"""Pushes tags with their history."""
