"""Row 7: what an idle pass over 10,000 mirrors costs."""

from benchmarks.command import main
from benchmarks.idle import LARGE as ROW

if __name__ == "__main__":
    main(ROW)
