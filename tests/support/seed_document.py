"""A seed document that uses every kind of entry."""

SEED = {
    "organizations": ["mirrors"],
    "tokens": [{"token": "s3cret", "login": "bot", "admin": True}],
    "options": {"max_assets": 5},
    "repositories": [
        {
            "name": "octo/seeded",
            "visibility": "private",
            "archived": True,
            "releases": [
                {
                    "tag": "v1",
                    "date": "2026-01-01T00:00:00Z",
                    "latest": True,
                    "annotated": True,
                    "assets": [
                        {"name": "a", "text": "hi"},
                        {"name": "b", "base64": "aGk=", "content_type": "text/plain"},
                        {"name": "c", "size": 1000, "seed": 3, "label": "C"},
                        {"name": "d", "size": 0, "state": "starter"},
                    ],
                },
                {"tag": "v2", "draft": True},
            ],
        }
    ],
}
