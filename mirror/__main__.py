"""``python -m mirror`` is the same as ``release-mirror``."""

from mirror.cli.main import main

if __name__ == "__main__":
    main()
