"""The functional core: values and decisions, without I/O, clock or logger."""
