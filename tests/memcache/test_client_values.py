"""Values to bytes and back: what is itself, serialisers, compressors, and whose flags are read."""

import json
import pickle
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.blocking import LOOPS, Blocking
from support.memcached import Server

from godropbox import memcache
from godropbox.memcache import InvalidArgumentError, InvalidTypeError, Item
from godropbox.memcache.aio import AsyncClient
from godropbox.memcache.client import Client
from godropbox.memcache.codec import Codec, UnreadableValueError
from godropbox.memcache.compressors import ZlibCompressor, ZstdCompressor
from godropbox.memcache.serializers import JsonSerializer, MsgpackSerializer, PickleSerializer
from godropbox.memcache.testing import MockClient

BYTES, TEXT, INT, EMPTY, ZLIB, JSON = 0, 16, 4, 0x800, 8, 0x100
Make = Callable[..., Any]


@pytest.fixture(params=["mock", *LOOPS])
def stored(
    request: pytest.FixtureRequest, servers: Callable[[str], Server]
) -> Iterator[tuple[Any, Make]]:
    """Give raw operations on an empty server, and what makes clients of it with some options."""
    if request.param == "mock":
        mock = MockClient()
        yield mock, lambda **options: Client.over(mock, **options)
        return
    address = servers("tcp").address
    with memcache.RawMetaClient(memcache.connect(address)) as raw:
        assert raw.flush().ok
        yield raw, lambda **options: Blocking(AsyncClient([address], **options), request.param)


@given(st.one_of(st.binary(), st.text(st.characters(codec="utf-8")), st.integers()))
def test_what_is_itself_comes_back_as_it_went(value: Any) -> None:
    for codec in (Codec(), Codec("json", "zlib", 0)):
        back = codec.decode("k", *codec.encode(value))
        assert (back, type(back)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "data", "flags"),
    [
        (b"x", b"x", BYTES),
        (b"", b"", EMPTY),
        ("é", "é".encode(), TEXT),
        ("", b"", TEXT),
        (-5, b"-5", INT),
        (bytearray(b"x"), b"x", BYTES),
        (memoryview(b"xyz")[1:], b"yz", BYTES),
        (memoryview(b""), b"", EMPTY),
    ],
)
def test_how_a_value_is_stored(value: Any, data: bytes, flags: int) -> None:
    assert Codec().encode(value) == (data, flags)


@pytest.mark.parametrize("value", [None, True, 1.5, {}, [1], object(), type("S", (str,), {})("x")])
def test_without_a_serializer_any_other_value_is_refused(
    stored: tuple[Any, Make], value: Any
) -> None:
    with pytest.raises(InvalidTypeError, match="value must be bytes, str or int without a serial"):
        stored[1]().set("k", value)


@pytest.mark.parametrize("name", ["json", "msgpack", "pickle"])
def test_serializers(stored: tuple[Any, Make], name: str) -> None:
    client = stored[1](serializer=name)
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": ""}}
    client.set("k", value)
    assert client.get("k") == value
    client.set_many({"x": [], "y": False, "z": "text", "n": 7, "raw": b"\0"})
    assert client.get_many(["x", "y", "z", "n", "raw"]) == {
        "x": [],
        "y": False,
        "z": "text",
        "n": 7,
        "raw": b"\0",
    }


def test_serializers_may_be_given_as_they_are(stored: tuple[Any, Make]) -> None:
    for serializer in (JsonSerializer(), MsgpackSerializer(), PickleSerializer(2)):
        client = stored[1](serializer=serializer)
        client.set("k", [1])
        assert client.get("k") == [1]
    with pytest.raises(InvalidArgumentError, match=r"protocol must be in \[0, \d\] for pickle"):
        PickleSerializer(99)


@pytest.mark.parametrize("protocol", [None, 2, 4, 5])
def test_the_pickle_protocol_chosen_is_written(
    stored: tuple[Any, Make], protocol: int | None
) -> None:
    raw, make = stored
    make(serializer=PickleSerializer(protocol)).set("k", [1])
    assert raw.get("k").value == pickle.dumps([1], protocol)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, {"a": object()}])
def test_what_a_serializer_cannot_take_is_the_callers_error(
    stored: tuple[Any, Make], value: Any
) -> None:
    client = stored[1](serializer="json")
    with pytest.raises(
        (InvalidTypeError, InvalidArgumentError), match="value cannot be serialized"
    ):
        client.set("k", value)


class Shouting:
    """A serialiser of one's own."""

    flag = 0x00020000

    def dumps(self, value: Any) -> Any:
        return repr(value).upper().encode()

    def loads(self, data: bytes) -> Any:
        return data.decode()


class Doubling:
    """A compressor of one's own, for what repeats."""

    flag = 0x01000000

    def compress(self, data: bytes) -> bytes:
        return data[: len(data) // 2]

    def decompress(self, data: bytes, limit: int) -> bytes:
        return data * 2


@pytest.mark.parametrize("base", [TypeError, ValueError])
def test_an_error_of_a_serializer_is_not_asked_for_its_class(base: type[Exception]) -> None:
    def fails(_: Any) -> Any:
        raise OSError("no class")

    kind = type("OddError", (base,), {"__class__": property(fails)})

    class Odd(JsonSerializer):
        def dumps(self, value: Any) -> Any:
            raise kind("odd")

    client = Client.over(MockClient(), serializer=Odd())
    got: list[Any] = []
    try:
        client.set("k", [1])
    except Exception as error:  # pytest would ask it
        got = [type(error), type(error.__cause__)]
    assert got == [InvalidTypeError if base is TypeError else InvalidArgumentError, kind]


def test_a_serializer_and_a_compressor_of_ones_own(stored: tuple[Any, Make]) -> None:
    raw, make = stored
    client = make(serializer=Shouting(), compressor=Doubling(), compress_from=0)
    client.set("k", ["a"])
    assert raw.get("k").flags == 0x01020000
    client.set("text", "abab")
    assert raw.get("text").value == b"ab"
    assert client.get("text") == "abab"


class Flagless:
    """All that a serializer and a compressor have, but for the flag."""

    def dumps(self, value: Any) -> bytes:
        raise NotImplementedError

    loads = compress = decompress = dumps


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"serializer": "yaml"}, "serializer must be 'json', 'msgpack', 'pickle', a Serializer or"),
        ({"serializer": "jsn"}, "or None, got 'jsn': did you mean 'json'"),
        ({"serializer": Flagless()}, "serializer must have an int flag, got <"),
        ({"compressor": "lzma"}, "compressor must be 'zlib', 'zstd', a Compressor or None"),
        ({"compressor": "zlb"}, "or None, got 'zlb': did you mean 'zlib'"),
        ({"compressor": Flagless()}, "compressor must have an int flag, got <"),
    ],
)
def test_bad_serializers_and_compressors(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        Client.over(MockClient(), **options)


def test_a_flag_that_is_not_free_is_refused() -> None:
    mine, yours = Shouting(), Doubling()
    mine.flag, yours.flag = 16, 0
    with pytest.raises(InvalidArgumentError, match="only bits of 0x00ff0000, got 0x10"):
        Codec(mine)
    with pytest.raises(InvalidArgumentError, match="only bits of 0xff000000, got 0x0"):
        Codec(None, yours)


def test_a_serializer_that_makes_no_bytes_is_told_so() -> None:
    class Wrong(Shouting):
        def dumps(self, value: Any) -> Any:
            return "text"

    with pytest.raises(InvalidTypeError, match="must return bytes, got 'text'"):
        Codec(Wrong()).encode([])


@pytest.mark.parametrize("name", ["zlib", "zstd"])
def test_what_is_large_enough_and_shrinks_is_compressed(
    stored: tuple[Any, Make], name: str
) -> None:
    raw, make = stored
    client = make(serializer="json", compressor=name, compress_from=100)
    values = {"short": b"x" * 99, "long": b"x" * 100, "text": "é" * 900, "json": ["a"] * 300}
    client.set_many(values)
    assert client.get_many(values) == values
    compressed = {key: len(raw.get(key).value or b"") < 99 for key in values}
    assert compressed == {"short": False, "long": True, "text": True, "json": True}
    noise = bytes(range(256))
    client.set("noise", noise)
    assert (raw.get("noise").value, raw.get("noise").flags) == (noise, 0)


@pytest.mark.parametrize("make", [ZlibCompressor, ZstdCompressor])
def test_decompressing_stops_at_the_limit(make: Callable[[], Any]) -> None:
    packer = make()
    packed = packer.compress(bytes(1_000_000))
    assert len(packed) < 5000
    assert packer.decompress(packed, 1_000_000) == bytes(1_000_000)
    with pytest.raises(ValueError, match="exceeds 999999 bytes when decompressed"):
        packer.decompress(packed, 999_999)
    for damaged in (packed[:-1], packed + b"x"):
        with pytest.raises(ValueError, match="is truncated or followed by other data"):
            packer.decompress(damaged, 1_000_000)


@pytest.mark.parametrize(
    ("make", "level"), [(ZlibCompressor, 0), (ZlibCompressor, 10), (ZstdCompressor, 23)]
)
def test_bad_levels(make: Callable[[int], Any], level: int) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"level must be in \[1, \d+\].*got {level}"):
        make(level)


@pytest.mark.parametrize(
    ("flags", "data", "value"),
    [
        (0, b"x", b"x"),  # each of them
        (16, b"t", "t"),  # pymemcache and pylibmc
        (2, b"5", 5),  # an int of pymemcache; of pylibmc True, as 1
        (4, b"-5", -5),  # pylibmc; pymemcache reads it
        (8, zlib.compress(b"raw"), b"raw"),
        (24, zlib.compress(b"text"), "text"),
        (4, b"9 ", 9),  # after a decr of memcached
    ],
)
def test_what_others_wrote_is_read(
    stored: tuple[Any, Make], flags: int, data: bytes, value: Any
) -> None:
    raw, make = stored
    raw.set(Item("k", data, flags=flags))
    back = make().get("k")
    assert (back, type(back)) == (value, type(value))


def test_a_pickle_is_read_only_by_who_asked_for_it(stored: tuple[Any, Make]) -> None:
    raw, make = stored
    raw.set(Item("k", pickle.dumps({1}), flags=1))
    with pytest.raises(UnreadableValueError, match="pickled, which serializer='pickle' reads"):
        make(serializer="json").get("k")
    assert make(serializer="pickle").get("k") == {1}


@pytest.mark.parametrize(
    ("flags", "data", "words"),
    [
        (TEXT, b"\xff", "0x10: 'utf-8' codec can't decode"),
        (INT, b"five", "0x4: ValueError: invalid literal"),
        (JSON, b"{", "0x100: JSONDecodeError"),
        (ZLIB, b"junk", "0x8: error: Error -3"),
        (ZLIB, zlib.compress(bytes(1 << 20)), "exceeds 1000 bytes when decompressed"),
        (0x200, b"\xc0", "msgpack, which serializer='msgpack' reads"),
        (0x400, b"", "compressed by zstd, which compressor='zstd' reads"),
        (32, b"u", "flags 0x20: of a kind that this client does not know"),
        (3, b"", "of a kind that this client does not know"),
    ],
)
def test_what_cannot_be_read_is_an_error_or_a_miss(
    stored: tuple[Any, Make], flags: int, data: bytes, words: str
) -> None:
    raw, make = stored
    raw.set(Item("k", data, flags=flags))
    raw.set(Item("good", b"1"))
    strict = make(max_value=1000)
    with pytest.raises(UnreadableValueError, match=words) as caught:
        strict.get("k")
    assert dict(caught.value.fields) == {"key": "k", "flags": flags}
    with pytest.raises(UnreadableValueError):
        strict.gets("k")
    lenient = make(max_value=1000, unreadable="miss")
    assert lenient.get("k", "none") == "none"
    assert lenient.gat("k", 100, "none") == "none"
    assert lenient.gets("k", "none") == ("none", None)
    assert lenient.get_many(["k", "good"]) == {"good": b"1"}


def test_json_is_read_by_who_chose_no_serializer(stored: tuple[Any, Make]) -> None:
    raw, make = stored
    make(serializer="json").set("k", {"a": "é"})
    assert json.loads(raw.get("k").value or b"") == {"a": "é"}
    assert make().get("k") == {"a": "é"}


def test_text_that_utf8_cannot_hold_is_refused(stored: tuple[Any, Make]) -> None:
    with pytest.raises(InvalidArgumentError, match="value must be text for UTF-8"):
        stored[1]().set("k", "\udc80")


def test_an_int_of_too_many_digits_is_refused(stored: tuple[Any, Make]) -> None:
    with pytest.raises(InvalidArgumentError, match="value must be an int of fewer digits"):
        stored[1]().set("k", 1 << 50000)


class Meddling:
    """A serializer that changes the mapping whose values it is given."""

    flag = 1 << 16

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def dumps(self, value: Any) -> bytes:
        self.values.pop("a", None)
        self.values["z"] = 0
        return repr(value).encode()

    def loads(self, data: bytes) -> Any:
        return data.decode()


def test_a_serializer_that_changes_the_mapping_changes_nothing_that_is_stored(
    stored: tuple[Any, Make],
) -> None:
    serializer = Meddling()
    client = stored[1](serializer=serializer)
    serializer.values = {"a": 1.5, "b": 2.5, "c": b"3"}
    assert client.set_many(serializer.values) == []
    assert client.get_many(["a", "b", "c", "z"]) == {"a": "1.5", "b": "2.5", "c": b"3"}
