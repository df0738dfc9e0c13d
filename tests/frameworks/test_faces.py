"""Keys of any text, and options by their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from godropbox._faces import chosen, key_namer
from godropbox.memcache import ClientOptions, InvalidArgumentError, InvalidTypeError
from godropbox.memcache.testing import MockClient

NAMED = key_namer(ClientOptions(prefix="app:"))


@pytest.mark.parametrize(
    "key", ["a", "user:1|2", "x" * 246, "ключ", "é" * 123, "sha25:6", "SHA256:", "\x80\xa0"]
)
def test_a_key_that_can_be_sent_stays_as_it_is(key: str) -> None:
    assert NAMED(key) == key


@pytest.mark.parametrize(
    "key",
    ["", "a b", "a\n", "\x7f", "x" * 247, "é" * 124, "sha256:", "sha256:" + "0" * 64, "\ud800"],
)
def test_another_is_hashed(key: str) -> None:
    assert NAMED(key).startswith("sha256:")
    assert len(NAMED(key)) == 71


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters()))
def test_no_two_keys_have_one_name_and_all_can_be_sent(one: str, other: str) -> None:
    assert (NAMED(one) == NAMED(other)) == (one == other)
    assert MockClient().get(NAMED(one)).error is None


def test_options_by_name() -> None:
    base = ClientOptions(serializer="pickle")
    options = chosen(base, {"timeout": 0.5, "username": "ann", "password": "secret"}, "X")
    assert (options.timeout, options.serializer, options.protocol) == (0.5, "pickle", "binary")
    assert options.auth is not None
    assert (options.auth.user, options.auth.password, options.auth.mechanism) == (
        "ann",
        "secret",
        "sasl",
    )
    named = {"username": "ann", "password": "secret", "protocol": "meta"}
    plain = chosen(base, named, "X").auth
    assert plain is not None
    assert plain.mechanism == "ascii"
    assert named == {"username": "ann", "password": "secret", "protocol": "meta"}


@pytest.mark.parametrize(
    ("named", "kind", "words"),
    [
        (
            {"time_out": 1},
            InvalidArgumentError,
            "X has no option 'time_out': did you mean 'timeout'",
        ),
        ({"zzzzz": 1}, InvalidArgumentError, "X has no option 'zzzzz'$"),
        ({"pool_size": 1}, InvalidArgumentError, "no option 'pool_size': max_active limits"),
        ({"severs": 1}, InvalidArgumentError, r"did you mean 'servers'\?"),
        ({"user_name": "a"}, InvalidArgumentError, r"did you mean 'username'\?"),
        ({"username": "ann"}, InvalidTypeError, "password must be a str, got None"),
        ({"password": "x"}, InvalidTypeError, "username must be a str, got None"),
        ({"timeout": -1}, InvalidArgumentError, r"timeout must be in \(0, 1000\) seconds, got -1"),
    ],
)
def test_a_wrong_option_is_named(
    named: dict[str, object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        chosen(ClientOptions(), named, "X", ["servers"])
