"""The heads of values in parts: what is stored under a value's key."""

import pytest

from godropbox.memcache.heads import PARTS, Head

TOKEN = "0123456789abcdef" * 2


def test_a_head_is_read_as_it_was_written() -> None:
    head = Head.of(b"x" * 2501, 16, 1000)
    assert (head.count, head.size, head.flags, head.part_size) == (3, 2501, 16, 834)
    assert Head.read(head.text(), 2501) == head
    assert Head.of(b"x" * 2501, 16, 1000).token != head.token


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 1999, 2000, 2001, 12_345])
def test_the_parts_are_the_whole(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    head = Head.of(data, 0, 1000)
    names = head.names("key")
    parts = dict(zip(names, map(bytes, head.split(data)), strict=True))
    assert head.join(names, parts) == data
    assert max(map(len, parts.values())) <= 1000
    for name in names:
        assert head.join(names, {**parts, name: None}) is None
        assert head.join(names, {**parts, name: parts[name] + b"x"}) is None
        assert head.join(names, {**parts, name: parts[name][:-1]}) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"parts1",
        f"parts1 {TOKEN} 2 2000".encode(),
        f"parts2 {TOKEN} 2 2000 0".encode(),
        f"parts1 {TOKEN}a 2 2000 0".encode(),
        f"parts1 {TOKEN.upper()} 2 2000 0".encode(),
        f"parts1 {TOKEN} 0 2000 0".encode(),
        f"parts1 {TOKEN} 2 0 0".encode(),
        f"parts1 {TOKEN} -2 2000 0".encode(),
        f"parts1 {TOKEN} 2 2000 0\n".encode(),
        f"parts1 {TOKEN} 2 2000 {PARTS}".encode(),
        f"parts1 {TOKEN} 9999999 9999999 0".encode(),  # parts of one byte
        f"parts1 {TOKEN} 52 2601 0".encode(),  # the last part would have none
    ],
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no head of parts"):
        Head.read(data, 1 << 40)


def test_the_limit_holds_before_anything_is_made() -> None:
    data = f"parts1 {TOKEN} 1000 999999999999 0".encode()
    with pytest.raises(ValueError, match="it has 999999999999 bytes in parts, max_value allows 9"):
        Head.read(data, 9)


@pytest.mark.parametrize("prefix", [0, 100, 150])
@pytest.mark.parametrize("key", ["k", "k" * 250, "\u00fc" * 125, b"\xff" * 250, " \n\x7f" * 200])
def test_keys_of_parts_can_be_sent(key: str | bytes, prefix: int) -> None:
    head = Head(TOKEN, 3, 2501, 0)
    for name in head.names(key, 250 - prefix):
        raw = name.encode()
        assert len(raw) + prefix <= 250
        assert not any(byte <= 0x20 or byte == 0x7F for byte in raw)
        assert TOKEN in name
