"""``python -m godropbox.binlog``: print, follow, filter and convert binary logs.

The library is ``godropbox.database.binlog``; this is its command.
"""

import sys

from .database.binlog.__main__ import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
