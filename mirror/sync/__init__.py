"""One pass: discover, snapshot, plan, execute, record."""
