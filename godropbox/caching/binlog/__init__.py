"""Caches that follow a binary log of MySQL or MariaDB, and so hear of every write.

- ``Invalidator``: deletes the keys of rows that changed; ``InvalidationOptions`` and
  ``InvalidationStatistics`` are its options and counts.
- ``Generations``: parts of keys, by which a whole table is forgotten.
- ``Applied``: waits, in any process, until a transaction was applied.
- ``Committed``: waits until others see a transaction that is in the log.
- ``aio`` has ``AsyncInvalidator``, ``AsyncGenerations`` and ``AsyncApplied``.

    invalidator = Invalidator(client, {"shop.users": "user:{id}"})
    with binlog.connect("db:3306", user="cache", **invalidator.wanted) as events:
        invalidator.run(events)
"""

from .applied import Applied, Gtids
from .committed import Committed, NotCommittedError
from .core import InvalidationOptions, InvalidationStatistics
from .generations import Generations
from .invalidator import Invalidator
from .rules import AbsentColumnError, KeyRule, Row

__all__ = [
    "AbsentColumnError",
    "Applied",
    "Committed",
    "Generations",
    "Gtids",
    "InvalidationOptions",
    "InvalidationStatistics",
    "Invalidator",
    "KeyRule",
    "NotCommittedError",
    "Row",
]
