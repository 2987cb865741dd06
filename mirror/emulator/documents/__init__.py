"""The model as GitHub's REST API writes it in JSON."""
