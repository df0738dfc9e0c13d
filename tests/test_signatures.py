"""Signatures and help of the compiled package are those of its source."""

import inspect
import json
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.signatures import surface

import godropbox
from godropbox import errors
from godropbox.caching import LocalStorage
from godropbox.caching.binlog import Invalidator
from godropbox.caching.binlog.aio import AsyncInvalidator
from godropbox.database import binlog
from godropbox.database.binlog import aio as binlog_aio
from godropbox.memcache import Client, GetResponse, RawMetaClient
from godropbox.memcache.discovery import Follower, follow
from godropbox.memcache.discovery.aio import AsyncFollower, async_follow
from godropbox.resource_pool import SimpleResourcePool

TESTS = Path(__file__).parent
PACKAGE = Path(godropbox.__file__).parent
# Functions of C kernels, which have names and defaults, and no annotations.
UNTYPED = {
    "godropbox.hash2.consistent_hash",
    "godropbox.murmur3.hash32",
    "godropbox.murmur3.hash32_many",
}
# What ``.pxd`` files declare as ``cpdef``, of which Cython drops what is returned.
RETURNS_UNTOLD = {
    name
    for file in (TESTS.parent / "godropbox").rglob("*.pxd")  # no wheel has them
    for name in re.findall(r"^ *cpdef .*?(\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
}


def test_every_signature_and_docstring_is_that_of_the_source() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "support.signatures"],
        env={
            **os.environ,
            "GODROPBOX_IMPL": "pure",
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(PACKAGE.parent)]),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    ours = json.loads(json.dumps(surface()))
    assert len(theirs) > 700
    assert ours.keys() == theirs.keys()
    different = {}
    for name, each in ours.items():
        other = theirs[name]
        if each[1] is None and name.rpartition(".")[2] in RETURNS_UNTOLD:
            each, other = [each[0], each[2]], [other[0], other[2]]
        if each != other and name not in UNTYPED:
            different[name] = each, other
    assert different == {}
    for name in UNTYPED:
        assert [each[:3] for each in ours[name][0]] == [each[:3] for each in theirs[name][0]]


@pytest.mark.parametrize(
    ("thing", "names"),
    [
        (Client, "servers options= **overrides"),
        (Client.over, "operations options= **overrides"),
        (Client.get, "self key default="),
        (Client.get_or_set, "self key load expire stale= lease_time= wait="),
        (LocalStorage.get, "self key default="),
        (GetResponse, "key status value= flags= cas="),
        (RawMetaClient, "channel shard_id= timeout= prefix= binary_keys="),
        (SimpleResourcePool, "options location= group= reaper="),
        (SimpleResourcePool.get, "self timeout="),
        (errors.DropboxError, "message cause= **fields"),
        (errors.ConnectionLostError, "message cause= **fields"),
    ],
)
def test_signatures_have_names_defaults_and_annotations(thing: Any, names: str) -> None:
    found = []
    for each in inspect.signature(thing).parameters.values():
        stars = "**" if each.kind is each.VAR_KEYWORD else ""
        found.append(f"{stars}{each.name}{'' if each.default is each.empty else '='}")
        assert (each.annotation is each.empty) == (each.name == "self")
    assert " ".join(found) == names


@pytest.mark.parametrize(
    ("blocking", "for_asyncio"),
    [
        (binlog.connect, binlog_aio.connect),
        (Invalidator, AsyncInvalidator),
        (Follower, AsyncFollower),
        (follow, async_follow),
    ],
)
def test_the_form_for_asyncio_takes_the_same(blocking: Any, for_asyncio: Any) -> None:
    theirs, ours = (
        [(each.name, each.kind, each.default) for each in inspect.signature(of).parameters.values()]
        for of in (blocking, for_asyncio)
    )
    assert ours == theirs


def test_a_users_subclass_has_its_own_signature() -> None:
    class Same(Client):
        pass

    class Other(Client):
        def __init__(self, name: str, *, weight: int = 1) -> None:
            super().__init__(name)

    class Error(errors.ServerError):
        def __init__(self, code: int) -> None:
            super().__init__(str(code))

    assert inspect.signature(Same) == inspect.signature(Client)
    assert list(inspect.signature(Other).parameters) == ["name", "weight"]
    assert list(inspect.signature(Error).parameters) == ["code"]


def test_help_shows_each_signature_once_and_the_docstring() -> None:
    text = pydoc.plain(pydoc.render_doc(Client))
    # Since Python 3.15 a long signature has a line a parameter.
    text = re.sub(r"[\s|]+", " ", text).replace("( ", "(")
    assert " Client(servers: " in text
    assert text.count("get_or_set(self, key: ") == 1
    assert text.count("Return the value of a key, or `default` if there is none.") == 1
    for method in (Client.get, Client.set_many, LocalStorage.get_multi):
        doc = inspect.getdoc(method)
        assert doc is not None
        assert "(self" not in doc
        assert "--" not in doc
        assert doc[0].isupper()
