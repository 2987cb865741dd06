"""Row 23: an idle pass over 10,000 mirrors by several daemons."""

from benchmarks.cluster import IDLE
from benchmarks.command import main

if __name__ == "__main__":
    main(IDLE)
