"""Compares what was mirrored with its source, by digest or byte by byte."""
