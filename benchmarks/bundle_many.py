"""Row 18: a bundle with many small assets."""

from benchmarks.bundle import MANY as ROW
from benchmarks.command import main

if __name__ == "__main__":
    main(ROW)
