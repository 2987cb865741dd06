"""How fast release-mirror is, as ratios against what people would use instead.

One module a row: ``python -m benchmarks.idle``. All of them: ``make bench``.
"""
