"""Row 19: memory of each step of a bundle with a large asset."""

from benchmarks.bundle import MEMORY as ROW
from benchmarks.command import main

if __name__ == "__main__":
    main(ROW)
