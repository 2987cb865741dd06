"""Row 8 with a larger asset and a slower target; takes four minutes per repetition."""

from benchmarks.command import main
from benchmarks.memory import LONG as ROW

if __name__ == "__main__":
    main(ROW)
