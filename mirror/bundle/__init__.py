"""Releases in a directory that stands where a host stands: carried over an air gap."""
