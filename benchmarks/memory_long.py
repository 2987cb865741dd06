"""Row 8 once more, for a larger asset and a slower target: takes four minutes a repetition."""

from benchmarks.command import main
from benchmarks.memory import LONG as ROW

if __name__ == "__main__":
    main(ROW)
