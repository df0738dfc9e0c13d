"""The suite of conformance, over every protocol and transport against the real memcached."""

from collections.abc import Callable
from typing import Any

import pytest
from support.memcache_suite import CHECKS

from godropbox import memcache


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_client(check: Callable[[Any], None], dial: Callable[[], memcache.RawClient]) -> None:
    check(dial())
