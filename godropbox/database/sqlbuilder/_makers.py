"""Functions of modules further up, for the methods of those further down that call them.

A module gives its functions when it is imported. ``MAKERS`` is complete once the package is, and
unchanged from then on.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

__all__ = ["MAKERS"]

MAKERS: "Final[dict[str, Callable[..., Any]]]" = {}
