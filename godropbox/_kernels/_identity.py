"""What has an identity: a connection, a loan, a pool, whatever holds a lock.

A copy of it would use the same connection or the same place at the same time, and a pickle would be
of nothing. So ``__reduce_ex__ = refuse_copies`` in a class refuses ``copy.copy``, ``copy.deepcopy``
and ``pickle``, compiled or not, to its subclasses too.
"""

from typing import NoReturn, SupportsIndex

__all__ = ["refuse_copies"]


def refuse_copies(self: object, protocol: SupportsIndex = 0, /) -> NoReturn:
    """Raise ``TypeError``, which names the class."""
    raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: it has an identity")
