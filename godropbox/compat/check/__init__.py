"""``python -m godropbox.compat.check``: what code uses of other clients, and what that becomes.

`check` reads files with ``ast`` and never imports or runs them. The tables of what each library has
are in ``tables``. ``files`` finds what there is, ``reading`` reads what matters into ``scopes``,
``names`` tells what a name stands for, ``uses`` lists the uses, ``report`` prints them.
"""

from .files import NotFoundError
from .reading import Unread
from .uses import Report, Use, check

__all__ = ["NotFoundError", "Report", "Unread", "Use", "check"]
