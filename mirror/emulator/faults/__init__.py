"""Scripted faults: what they are, and which requests they hit."""
