"""Release texts, and text that is safe to show."""
