"""The back end for Flask-Caching: views, functions, and what the configuration says."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from flask_caching import Cache
from frameworks.conftest import NOWHERE, Witness
from support.memcached import PASSWORD, USER, Server, running

from godropbox.flask import GodropboxCache
from godropbox.memcache import InvalidArgumentError, NetworkError, ServerError

Make = Callable[..., tuple[Flask, Cache]]


@pytest.fixture
def make(server: Server, witness: Witness) -> Iterator[Make]:
    made: list[GodropboxCache] = []

    def make(**config: Any) -> tuple[Flask, Cache]:
        app = Flask("shop")
        app.config["CACHE_TYPE"] = "godropbox.flask.GodropboxCache"
        app.config["CACHE_MEMCACHED_SERVERS"] = [server.address]
        app.config.update(config)
        cache = Cache(app)
        back_end = app.extensions["cache"][cache]
        assert type(back_end) is GodropboxCache
        made.append(back_end)
        return app, cache

    yield make
    for back_end in made:
        back_end.close()


def test_a_view_is_cached(make: Make, witness: Witness) -> None:
    app, cache = make()
    made = []

    def page(name: str) -> str:
        made.append(name)
        return f"{name} {request.args.get('q')}"

    app.route("/page/<name>")(cache.cached(60, query_string=True)(page))
    http = app.test_client()
    for _ in range(2):
        assert http.get("/page/a%20b?q=1").text == "a b 1"
        assert http.get("/page/a%20b?q=2").text == "a b 2"
    assert made == ["a b", "a b"]

    whole = cache.cached(60)(lambda: "whole")
    with app.test_request_context("/two words"):  # a key with a blank in it
        assert whole() == "whole"
        assert cache.get("view//two words") == "whole"
    assert witness.client.get("flask_cache_view//plain") is None
    with app.test_request_context("/plain"):
        whole()
    assert witness.client.get("flask_cache_view//plain") == "whole"
    assert 55 <= (witness.ttl("flask_cache_view//plain") or 0) <= 60


def test_a_function_is_memoized_until_it_is_deleted(make: Make) -> None:
    app, cache = make(CACHE_KEY_PREFIX="shop:")
    made = []

    def total(*prices: int) -> int:
        made.append(prices)
        return sum(prices)

    total = cache.memoize(60)(total)
    with app.app_context():
        assert [total(1, 2), total(1, 2), total(3)] == [3, 3, 3]
        assert made == [(1, 2), (3,)]
        cache.delete_memoized(total, 1, 2)
        assert [total(1, 2), total(3)] == [3, 3]
        assert made == [(1, 2), (3,), (1, 2)]
        cache.delete_memoized(total)
        assert [total(1, 2), total(3)] == [3, 3]
        assert len(made) == 5


def test_what_a_cache_has_beside_decorators(make: Make) -> None:
    app, cache = make()
    with app.app_context():
        assert cache.set("a", [1], timeout=60)
        assert cache.get("a") == [1]
        assert not cache.add("a", 2)
        assert cache.set_many({"b": 2, "c": None})
        assert cache.get_many("a", "b", "c", "d") == [[1], 2, None, None]
        assert cache.get_dict("b", "d") == {"b": 2, "d": None}
        assert cache.has("c")
        assert not cache.has("d")
        assert cache.cache.inc("b", 3) == 5
        assert cache.cache.dec("b") == 4
        assert cache.delete("a")
        assert cache.delete_many("b", "c")
        assert cache.clear()


def test_the_configuration_is_that_of_the_memcached_types(make: Make) -> None:
    app, cache = make(
        CACHE_MEMCACHED_SERVERS=["10.0.0.1", "10.0.0.2:11212"],
        CACHE_KEY_PREFIX="shop:",
        CACHE_DEFAULT_TIMEOUT=60,
        CACHE_MEMCACHED_USERNAME="ann",
        CACHE_MEMCACHED_PASSWORD="secret",
        CACHE_IGNORE_ERRORS=True,
        CACHE_OPTIONS={"timeout": 0.2, "eject_after": 3},
    )
    with app.app_context():
        back_end: Any = cache.cache
    options = back_end._client.options
    assert (options.timeout, options.eject_after, options.prefix) == (0.2, 3, "shop:")
    assert (options.auth.user, options.auth.mechanism, options.protocol) == (
        "ann",
        "sasl",
        "binary",
    )
    assert (back_end.default_timeout, back_end.ignore_delete_many_errors) == (60, True)


@pytest.mark.parametrize(("kind", "options"), [("sasl", {}), ("ascii-auth", {"protocol": "meta"})])
def test_a_login(make: Make, tmp_path: Path, kind: str, options: dict[str, str]) -> None:
    with running(kind, tmp_path) as locked:
        app, cache = make(
            CACHE_MEMCACHED_SERVERS=[locked.address],
            CACHE_MEMCACHED_USERNAME=USER,
            CACHE_MEMCACHED_PASSWORD=PASSWORD,
            CACHE_OPTIONS=options,
        )
        with app.app_context():
            assert cache.set_many({"a": [1], "b": 2})
            assert cache.get_many("a", "b", "c") == [[1], 2, None]
            assert cache.cache.inc("b") == 3
            assert cache.clear()
        app, cache = make(CACHE_MEMCACHED_SERVERS=[locked.address], CACHE_OPTIONS=options)
        with app.app_context(), pytest.raises((ServerError, NetworkError)):
            cache.set("a", 1)


def test_a_wrong_option_is_named(make: Make) -> None:
    words = r"CACHE_OPTIONS has no option 'time_out': did you mean 'timeout'\?"
    with pytest.raises(InvalidArgumentError, match=words):
        make(CACHE_OPTIONS={"time_out": 1})
    with pytest.raises(InvalidArgumentError, match="timeout must be in"):
        make(CACHE_OPTIONS={"timeout": -1})


def test_without_a_server_views_are_made_and_the_failure_is_logged(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    app, cache = make(CACHE_MEMCACHED_SERVERS=[NOWHERE])
    app.route("/")(cache.cached(60)(lambda: "made"))
    assert app.test_client().get("/").text == "made"
    assert "possibly due to cache backend" in caplog.text
    assert any(
        record.exc_info and isinstance(record.exc_info[1], NetworkError)
        for record in caplog.records
    )
    caplog.clear()
    app, cache = make(CACHE_MEMCACHED_SERVERS=[NOWHERE], CACHE_OPTIONS={"failures": "miss"})
    app.route("/")(cache.cached(60)(lambda: "made"))
    assert app.test_client().get("/").text == "made"
    assert caplog.text == ""
