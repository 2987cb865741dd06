"""Benchmarks: release-mirror's speed relative to the tools people would use instead.

Each row is a module: ``python -m benchmarks.idle``. ``make bench`` runs all rows.
"""
