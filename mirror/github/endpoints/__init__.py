"""The REST endpoints that a mirror needs."""
