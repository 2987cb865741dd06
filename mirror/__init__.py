"""Mirror releases and their assets to a GitHub Enterprise Server."""

__version__ = "0.1.0"
