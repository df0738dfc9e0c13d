"""What pymemcache has for tests: ``utils``."""
