"""What answers for a recorded or scripted channel when it is asked what it knows."""

from typing import Any

__all__ = ["Knowing", "answer_to_probe"]

_BINARY_PROBE = bytes.fromhex("800b" + "00" * 10 + "0d0a0d0a" + "00" * 8)
_VERSION = bytes.fromhex("81 0b 0000 00 00 0000 00000005 0d0a0d0a 0000000000000000") + b"1.6.0"


def answer_to_probe(sent: bytes) -> bytes | None:
    """Return the answer of a server that knows everything; None if it is asked something else."""
    if sent == _BINARY_PROBE:
        return _VERSION
    if sent.startswith(b"gats 0 godropbox-"):
        return b"END\r\n"
    if not sent.endswith(b"\r\ngodropbox\r\n"):
        return None
    if b" MR C0 O1\r\n" in sent:
        return b"NF O1\r\n"
    return b"NOT_FOUND\r\n" if sent.startswith(b"cas ") else b"NOT_STORED\r\n"


class Knowing:
    """A channel over another that answers every probe, which the other never sees.

    With `asked` the version counts as a probe, too: for commands before which it is asked.
    """

    def __init__(self, channel: Any, asked: bool = False) -> None:
        self._channel = channel
        self._asked = asked
        self._answer = b""

    def sendall(self, data: Any, /) -> None:
        answer = answer_to_probe(bytes(data))
        if self._asked and bytes(data) == b"version\r\n":
            answer = b"VERSION 1.6.18\r\n"
        if answer is None:
            self._channel.sendall(data)
        else:
            self._answer = answer

    def recv_into(self, buffer: Any, /) -> int:
        if not self._answer:
            received: int = self._channel.recv_into(buffer)
            return received
        size = len(self._answer)
        buffer[:size], self._answer = self._answer, b""
        return size

    def settimeout(self, seconds: float | None, /) -> None:
        self._channel.settimeout(seconds)

    def close(self) -> None:
        self._channel.close()
