"""pymemcache's clients of particular services."""
