"""What answers for a recorded or scripted channel when it is asked what it knows."""

from typing import Any

_VERSION = bytes.fromhex("81 0b 0000 00 00 0000 00000005 0d0a0d0a 0000000000000000") + b"1.6.0"


class Knowing:
    """A channel over another that answers every probe, which the other never sees."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._answer = b""
        self._binary_probe = bytes.fromhex("800b" + "00" * 10 + "0d0a0d0a" + "00" * 8)

    def sendall(self, data: Any, /) -> None:
        sent = bytes(data)
        if sent == self._binary_probe:
            self._answer = _VERSION
        elif b" MR C0 O1\r\ngodropbox\r\n" in sent:
            self._answer = b"NF O1\r\n"
        elif sent.endswith(b" 0\r\ngodropbox\r\n") and sent.startswith(b"cas "):
            self._answer = b"NOT_FOUND\r\n"
        elif sent.endswith(b"\r\ngodropbox\r\n"):
            self._answer = b"NOT_STORED\r\n"
        else:
            self._channel.sendall(data)

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
