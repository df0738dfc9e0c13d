"""Refuse copies of objects that have an identity: a connection, a loan, a pool, a lock.

A copy would use the same connection at the same time, and a pickle would hold nothing useful.
``__reduce_ex__ = refuse_copies`` in a class makes ``copy.copy``, ``copy.deepcopy`` and ``pickle``
raise, for compiled classes and for subclasses too.
"""

from typing import NoReturn, SupportsIndex

__all__ = ["refuse_copies"]


def refuse_copies(self: object, protocol: SupportsIndex = 0, /) -> NoReturn:
    """Raise ``TypeError`` with the class name."""
    name = type(self).__name__
    article = "an" if name[:1] in "AEIO" else "a"
    raise TypeError(f"{article} {name} cannot be copied or pickled: it has an identity")
