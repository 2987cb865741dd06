"""Bytes in motion: from an asset's source to its target, and who may move them next."""
