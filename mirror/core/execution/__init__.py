"""Actions, and what became of them."""
