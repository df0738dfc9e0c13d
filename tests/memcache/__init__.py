"""Tests of ``godropbox.memcache``."""
