"""What a host holds: accounts, repositories, git objects, releases, assets, and what happened."""
