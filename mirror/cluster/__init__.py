"""Several processes that share the work through a PostgreSQL database."""
