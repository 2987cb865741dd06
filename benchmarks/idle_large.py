"""Row 7: cost of an idle pass over 10,000 mirrors."""

from benchmarks.command import main
from benchmarks.idle import LARGE as ROW

if __name__ == "__main__":
    main(ROW)
