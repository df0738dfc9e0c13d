"""The system checks and the command ``memcached_stats``."""

import io
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core import checks
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.test.utils import override_settings
from support.memcached import Server

from godropbox.django import CacheOptionsError
from godropbox.django.checks import check_caches

BACKEND = "godropbox.django.GodropboxCache"
Configure = Callable[..., None]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Set ``CACHES`` for a test."""
    held = []

    def set_caches(**settings: Any) -> None:
        given = {
            alias: {"BACKEND": BACKEND, "OPTIONS": {"connect_timeout": 5.0}} | params
            for alias, params in settings.items()
        }
        override = override_settings(CACHES=given)
        override.enable()
        held.append(override)

    yield set_caches
    for override in held:
        override.disable()


def found(*tags: str) -> list[checks.CheckMessage]:
    return checks.run_checks(tags=list(tags) or [checks.Tags.caches])


def test_nothing_is_wrong(configure: Configure, server: Server) -> None:
    configure(default={"LOCATION": server.address})
    assert found() == []


def test_a_server_that_does_not_answer_is_named(configure: Configure, server: Server) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{probe.getsockname()[1]}"
        configure(default={"LOCATION": [server.address, away]}, other={"LOCATION": server.address})
        [warning] = found()
    assert warning.id == "godropbox.W001"
    assert warning.level == checks.WARNING
    assert f"CACHES['default']: the server {away} does not answer: [Errno" in warning.msg
    assert "refused" in warning.msg
    assert "shard" not in warning.msg
    assert warning.hint == "Start it, or correct its address in CACHES['default']['LOCATION']."


def test_bad_options_are_errors(configure: Configure, server: Server) -> None:
    configure(
        default={"LOCATION": server.address, "OPTIONS": {"timout": 1}},
        other={"LOCATION": ""},
        third={"LOCATION": server.address, "KEY_FUNCTION": "no.such.function"},
    )
    messages = check_caches()
    assert [each.id for each in messages] == ["godropbox.E001"] * 3
    assert "CACHES['default']: OPTIONS['timout']: no such option; did you" in messages[0].msg
    assert "CACHES['other']: LOCATION: address must be" in messages[1].msg
    assert "CACHES['third']: " in messages[2].msg
    # Django's own check makes every cache, and so ends every command by the same words.
    with pytest.raises(CacheOptionsError, match=r"OPTIONS\['timout'\]: no such option"):
        found()


def _with_blank(key: str, prefix: str, version: int) -> str:
    return f"{prefix} {key}"


def _broken(key: str, prefix: str, version: int) -> str:
    raise RuntimeError("broken")


def test_keys_that_no_server_takes_are_told(configure: Configure, server: Server) -> None:
    configure(
        default={"LOCATION": server.address, "KEY_PREFIX": "my site"},
        other={"LOCATION": server.address, "KEY_FUNCTION": _with_blank},
        third={"LOCATION": server.address, "KEY_FUNCTION": _broken},
    )
    messages = found()
    assert [each.id for each in messages] == ["godropbox.W003", "godropbox.W003", "godropbox.E002"]
    assert "the key 'key' becomes 'my site:1:key'" in messages[0].msg
    assert "KEY_FUNCTION raised for the key 'key': broken" in messages[2].msg


def test_a_server_without_meta_commands_is_told(
    configure: Configure, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server says that it is 1.5.22."""
    from godropbox.django import servers

    configure(
        default={"LOCATION": server.address, "OPTIONS": {"protocol": "meta"}},
        ascii={"LOCATION": server.address, "OPTIONS": {"protocol": "ascii"}},
        auto={"LOCATION": server.address},
    )
    old = servers.Report(server.address, {"version": "1.5.22"})
    monkeypatch.setattr("godropbox.django.checks.reports", lambda clients: [old])
    warning, other = found()
    assert warning.id == other.id == "godropbox.W002"
    assert "which has no meta commands: get_or_set loads once in each process" in other.msg
    assert "is memcached 1.5.22, which has no meta commands" in warning.msg
    assert warning.hint is not None
    assert "CACHES['default']['OPTIONS']['protocol'] to 'ascii'" in warning.hint


def test_caches_of_others_are_left_alone(configure: Configure) -> None:
    configure(
        default={"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {}},
        other={"BACKEND": "no.such.Backend"},
    )
    assert check_caches() == []


def printed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("memcached_stats", *arguments, stdout=out)
    return out.getvalue()


def test_the_table(configure: Configure, server: Server) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{probe.getsockname()[1]}"
        configure(default={"LOCATION": [server.address, away]}, other={"LOCATION": server.address})
        caches["other"].set("key", 1)
        caches["other"].get("key")
        lines = printed().splitlines()
        alone = printed("other").splitlines()
    assert lines[0] == "default"
    titles = ["server", "version", "uptime", "hit", "rate", "memory", "items"]
    assert lines[1].split() == [*titles, "evictions", "connections"]
    assert lines[2].split()[0] == server.address
    assert " of 1.0 GiB" in lines[2]
    assert "%" in lines[2]
    assert f"  {away}" in lines[3]
    assert "does not answer: [Errno" in lines[3]
    assert lines[4] == "other"
    assert alone[0] == "other"
    assert len(alone) == 3


def test_json(configure: Configure, server: Server) -> None:
    configure(default={"LOCATION": server.address})
    caches["default"].get("key")
    [figures] = json.loads(printed("--json"))["default"]
    assert figures["server"] == server.address
    assert figures["gets"] > 0
    assert 0 <= figures["hit_rate"] <= 1
    assert figures["memory_limit_bytes"] == 1 << 30


def test_an_alias_that_is_not_ours(configure: Configure, server: Server) -> None:
    configure(
        default={"LOCATION": server.address},
        other={"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    )
    with pytest.raises(CommandError, match=r"'other' is no cache of godropbox\.django; .*: d"):
        printed("other")
