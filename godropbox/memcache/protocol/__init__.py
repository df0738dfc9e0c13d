"""The protocols of memcached: makers of exchanges, bytes only, no I/O."""
