"""The servers used by the benchmarks, each in a separate process."""
