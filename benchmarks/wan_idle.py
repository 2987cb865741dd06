"""Row 16: an idle pass over 1,000 mirrors over a WAN."""

from benchmarks.command import main
from benchmarks.wan import IDLE

if __name__ == "__main__":
    main(IDLE)
