"""Where a memcached server is, and who logs in there: data, no I/O."""

from dataclasses import dataclass, field
from typing import Final

from .. import _address
from .errors import InvalidArgumentError, InvalidTypeError

__all__ = ["DEFAULT_PORT", "Credentials", "parse_address"]

DEFAULT_PORT: Final = 11211


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in, and how: ``"ascii"`` (``--auth-file``) or ``"sasl"`` (PLAIN)."""

    user: str
    password: str = field(repr=False)
    mechanism: str = "ascii"

    def __post_init__(self) -> None:
        if self.mechanism not in ("ascii", "sasl"):
            raise InvalidArgumentError(
                f"mechanism must be 'ascii' or 'sasl', got {self.mechanism!r}"
            )


def parse_address(address: str) -> _address.Address:
    """Return a host and a port, by default 11211, or the path of a Unix socket.

    Raises ``InvalidArgumentError`` or ``InvalidTypeError``.
    """
    try:
        return _address.parse_address(address, DEFAULT_PORT)
    except TypeError as error:
        raise InvalidTypeError(str(error)) from None
    except ValueError as error:
        raise InvalidArgumentError(str(error)) from None
