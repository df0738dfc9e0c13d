"""``python -m godropbox.compat.check``: what it finds in code, what it says, how it ends."""

import inspect
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from godropbox import memcache
from godropbox.compat.check import Use, check
from godropbox.compat.check.__main__ import main
from godropbox.compat.check.tables import LIBRARIES, Fate, Library, Thing

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write files, by name or one alone, and return their folder."""

    def write(source: str = "", **files: str) -> Path:
        for name, text in _named(source, files):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return tmp_path

    return write


def _named(source: str, files: dict[str, str]) -> Iterator[tuple[str, str]]:
    if source:
        yield "code.py", source
    for name, text in files.items():
        yield f"{name.replace('_in_', '/')}.py", text


def uses(folder: Path) -> list[Use]:
    return check([str(folder)]).uses


def told(folder: Path) -> list[tuple[int, str, str]]:
    """Return the line, the kind and the code of every use but imports."""
    return [(use.line, use.kind, use.used) for use in uses(folder) if use.kind != "import"]


# Ways in which code comes by a client: each ends in a call of `get_many` on line 1 from the end.
WAYS = {
    "module": """
        import pymemcache
        pymemcache.Client("a").get_many(["k"])
    """,
    "submodule": """
        import pymemcache.client.base
        pymemcache.client.base.Client("a").get_many(["k"])
    """,
    "alias": """
        import pymemcache.client.base as b
        mc = b.Client("a")
        mc.get_many(["k"])
    """,
    "name": """
        from pymemcache import Client as C
        mc: C = C("a")
        mc.get_many(["k"])
    """,
    "module from a package": """
        from pymemcache.client import base
        mc = base.PooledClient("a")
        mc.get_many(["k"])
    """,
    "star": """
        from pymemcache.client.hash import *
        mc = HashClient(["a"])
        mc.get_many(["k"])
    """,
    "conditional": """
        try:
            from pymemcache import Client
        except ImportError:
            Client = None
        mc = Client and Client("a")
        mc.get_many(["k"])
    """,
    "attribute": """
        import pymemcache
        class Repo:
            def __init__(self):
                self.mc = pymemcache.Client("a")
            def load(self):
                return self.mc.get_many(["k"])
    """,
    "attribute of a base": """
        import pymemcache
        class Base:
            mc = pymemcache.Client("a")
        class Repo(Base):
            def load(self):
                return self.mc.get_many(["k"])
    """,
    "parameter of a constructor": """
        from pymemcache import Client
        class Repo:
            def __init__(self, mc):
                self.mc = mc
            def load(self):
                return self.mc.get_many(["k"])
        Repo(Client("a")).load(); Repo(mc=Client("a")).mc.get_many(["k"])
    """,
    "annotated parameter": """
        from typing import Optional
        from pymemcache import Client
        def load(mc: "Optional[Client]" = None):
            return mc.get_many(["k"])
    """,
    "union": """
        from pymemcache import Client
        def load(mc: Client | None):
            return mc.get_many(["k"])
    """,
    "factory": """
        import pymemcache
        def make():
            client = pymemcache.Client("a")
            return client
        make().get_many(["k"])
    """,
    "annotated factory": """
        import pymemcache
        def make() -> pymemcache.Client: ...
        make().get_many(["k"])
    """,
    "method that makes one": """
        import pymemcache
        class Repo:
            def _mc(self):
                return pymemcache.Client("a")
            def load(self):
                return self._mc().get_many(["k"])
    """,
    "property": """
        import pymemcache
        from functools import cached_property
        class Repo:
            @cached_property
            def mc(self):
                return pymemcache.Client("a")
            def load(self):
                return self.mc.get_many(["k"])
    """,
    "with": """
        from contextlib import closing
        import pymemcache
        with closing(pymemcache.Client("a")) as mc:
            mc.get_many(["k"])
    """,
    "context manager": """
        from contextlib import contextmanager
        import pymemcache
        @contextmanager
        def client():
            yield pymemcache.Client("a")
        with client() as mc:
            mc.get_many(["k"])
    """,
    "partial": """
        from functools import partial
        import pymemcache
        make = partial(pymemcache.Client, "a")
        make().get_many(["k"])
    """,
    "lambda": """
        import pymemcache
        make = lambda: pymemcache.Client("a")
        make().get_many(["k"])
    """,
    "list": """
        import pymemcache
        clients = [pymemcache.Client(host) for host in "ab"]
        for mc in clients:
            mc.get_many(["k"])
    """,
    "dict": """
        import pymemcache
        clients = {host: pymemcache.Client(host) for host in "ab"}
        clients["a"].get_many(["k"])
    """,
    "dict's get": """
        import pymemcache
        clients = {"a": pymemcache.Client("a")}
        clients.get("a").get_many(["k"])
    """,
    "tuple": """
        import pymemcache
        mc, n = pymemcache.Client("a"), 1
        mc.get_many(["k"])
    """,
    "global": """
        import pymemcache
        mc = None
        def start():
            global mc
            mc = pymemcache.Client("a")
        def load():
            mc.get_many(["k"])
    """,
    "someone else's attribute": """
        import pymemcache
        def start(app):
            app.mc = pymemcache.Client("a")
        def load(app):
            app.mc.get_many(["k"])
    """,
    "walrus": """
        import pymemcache
        if (mc := pymemcache.Client("a")):
            mc.get_many(["k"])
    """,
    "imported by name": """
        from importlib import import_module
        base = import_module("pymemcache.client.base")
        base.Client("a").get_many(["k"])
    """,
    "getattr": """
        import pymemcache
        getattr(pymemcache, "Client")("a").get_many(["k"])
    """,
    "method kept": """
        import pymemcache
        get = pymemcache.Client("a").get_many
        get(["k"])
    """,
    "retrying": """
        from pymemcache import Client
        from pymemcache.client.retrying import RetryingClient
        RetryingClient(Client("a"), attempts=3).get_many(["k"])
    """,
    "subclass": """
        import pymemcache
        class Mine(pymemcache.Client):
            def other(self):
                return self.get_many(["k"])
    """,
    "fixture": """
        import pymemcache, pytest
        @pytest.fixture
        def mc():
            yield pymemcache.Client("a")
        def test_it(mc):
            mc.get_many(["k"])
    """,
    "async": """
        import pymemcache
        async def make():
            return pymemcache.Client("a")
        async def load():
            (await make()).get_many(["k"])
    """,
    "circle": """
        import pymemcache
        mc = pymemcache.Client("a")
        mc = other = mc or other
        other.get_many(["k"])
    """,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_found_however_the_client_came(way: str, tree: Tree) -> None:
    found = [use for use in uses(tree(WAYS[way])) if use.client == "get_many(keys)"]
    assert found, "get_many was not found"
    assert {use.library for use in found} == {"pymemcache"}
    assert {use.fate for use in found} == {Fate.SAME}
    source = textwrap.dedent(WAYS[way]).splitlines()
    calls = [line for line, text in enumerate(source, 1) if "get_many" in text]
    assert calls[-1] in {use.line for use in found}


def test_a_line_says_where_what_and_what_it_becomes(
    tree: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(
        tree(
            """\
            from pymemcache.client.hash import HashClient as H
            import pylibmc
            mc = H([("a", 1)], ignore_exc=True, timeout=1)
            x = "é"; mc.set_many({"a": 1}, 60)
            try:
                mc.cas("a", 2, b"1")
            except pylibmc.Error:
                mc.cache_memlimit(64)
            """
        )
    )
    assert main(["code.py"]) == 1
    out = capsys.readouterr().out
    first, *lines = out.splitlines()
    becomes = "from godropbox.compat.pymemcache.client.hash import HashClient as H"
    assert first == (
        f"code.py:1:36: {becomes.replace('godropbox.compat.', '')} -> {becomes}; "
        "our Client: memcache.Client"
    )
    assert lines == [
        "code.py:2:8: import pylibmc -> from godropbox.compat import pylibmc",
        "code.py:3:6: H(..., ignore_exc=, timeout=) -> the same; our Client: "
        'memcache.Client(servers, failures="miss", timeout=, shard_func=Rendezvous())',
        "code.py:4:10: mc.set_many(...) -> the same; our Client: set_many(values, expire)",
        "code.py:6:5: mc.cas(...) -> the same; our Client: cas(key, value, token, expire)",
        "code.py:7:8: pylibmc.Error -> the same; "
        "our Client: memcache.ServerError, memcache.NetworkError",
        "code.py:8:5: mc.cache_memlimit(...) -> "
        "NOTHING: pymemcache 4.0.0 has no HashClient.cache_memlimit",
        "",
        "pylibmc: 2 uses in 1 file: 2 the same, 0 with a difference, 0 without a counterpart",
        "  exception 1, import 1",
        "pymemcache: 5 uses in 1 file: 4 the same, 0 with a difference, 1 without a counterpart",
        "  call 3, construction 1, import 1",
        "1 file looked at",
    ]


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("import pymemcache", "from godropbox.compat import pymemcache"),
        ("import pymemcache as p", "import godropbox.compat.pymemcache as p"),
        (
            "import pymemcache.serde",
            "import godropbox.compat.pymemcache.serde; from godropbox.compat import pymemcache",
        ),
        (
            "from pymemcache.client import base as b",
            "from godropbox.compat.pymemcache.client import base as b",
        ),
        ("from pylibmc import *", "from godropbox.compat.pylibmc import *"),
        ("import _pylibmc", "from godropbox.compat import pylibmc as _pylibmc"),
        ("import memcache", "from godropbox.compat import pylibmc as memcache"),
    ],
)
def test_import_lines(line: str, becomes: str, tree: Tree) -> None:
    [use] = uses(tree(line))
    assert (use.used, use.face, use.kind) == (line, becomes, "import")
    # What it says is an import that works, and binds what the old one bound.
    theirs: dict[str, Any] = {}
    exec(becomes, theirs)
    bound = line.split()[-1].partition(".")[0]
    assert bound == "*" or bound in theirs


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ('pylibmc.Client(["a"], behaviors={"_noreply": True})', "must be 0: every reply is read"),
        ('o = {"_noreply": 1}; pylibmc.Client(["a"], o)', "must be 0: every reply is read"),
        ('pylibmc.Client(["a"]).behaviors = {"num_replicas": 2}', "must be 0: a key is on one"),
        ('pylibmc.Client(["a"]).behaviors["num_replicas"] = 2', "must be 0: a key is on one"),
        ('pylibmc.Client(["a"]).set_behaviors({"hash": "hsieh"})', "the hashes are default"),
        ('pylibmc.Client(["a"], behaviors={"speed": 1})', "pylibmc 1.6.3 has no such key"),
        ('pylibmc.Client(["udp:a"])', "servers are asked over TCP or a Unix socket"),
        ('pylibmc.Client(["a"], speed=1)', "pylibmc 1.6.3 has no such argument"),
        ('pylibmc.Client(["a"]).fetch("k")', "pylibmc 1.6.3 has no Client.fetch"),
        ('pylibmc.Client(["a"])._secret', "Client._secret is private to pylibmc"),
        ("pylibmc.distribution_random", "keys are not distributed so here"),
        ("pylibmc.Pool", "pylibmc 1.6.3 has no pylibmc.Pool"),
        ("from pylibmc import test", "make a Client of the test's own server"),
        ("import pymemcache.cluster", "pymemcache 4.0.0 has no pymemcache.cluster"),
        (
            "import pymemcache\nclass C(pymemcache.Client):\n    def _fetch_cmd(self): ...",
            "it is not called: replies are read by a parser of our own",
        ),
        (
            "import pymemcache\nclass C(pymemcache.Client):\n    def check_key(self, key): ...",
            "it is not called: change the keys before they are passed",
        ),
        (
            "from pymemcache import PooledClient\nclass C(PooledClient):\n"
            "    def check_key(self, key): ...",
            "it is not called: change the keys before they are passed",
        ),
        ('import memcache; memcache.Client(["a"]).set("k", 1, noreply=True)', "every write is"),
        ('import memcache; memcache.Client(["a"], pickler=P)', "override serialize and"),
    ],
)
def test_what_has_no_counterpart_is_told_with_a_reason(code: str, why: str, tree: Tree) -> None:
    folder = tree(f"import pylibmc\n{code}")
    [use] = [use for use in uses(folder) if use.fate is Fate.NONE]
    assert use.why.startswith(why)
    assert use.face == ""
    assert main([str(folder)]) == 1


@pytest.mark.parametrize(
    "code",
    [
        'pylibmc.Client(["a"], behaviors={"_noreply": False, "num_replicas": 0, "hash": "md5"})',
        'pylibmc.Client(["a"]).behaviors["num_replicas"] = 0',
        'pylibmc.Client(["unix"], behaviors={"tcp_nodelay": True, "ketama": True})',
        'mc = pylibmc.Client(["a"]); mc["k"] = 1; del mc["k"]; "k" in mc; mc["k"]',
        'with pylibmc.ClientPool(pylibmc.Client(["a"]), 2).reserve() as mc: mc.incr_multi(["k"])',
        'pool = pylibmc.ThreadMappedPool(pylibmc.Client(["a"])); pool.master.clone().get("k")',
    ],
)
def test_what_has_one_is_the_same(code: str, tree: Tree) -> None:
    folder = tree(f"import pylibmc\n{code}")
    assert {use.fate for use in uses(folder)} == {Fate.SAME}
    assert main([str(folder)]) == 0


def test_arguments_that_only_a_run_shows_are_pointed_out(tree: Tree) -> None:
    folder = tree("import memcache\nmemcache.Client(hosts, dead_retry=3, **options)")
    unseen = [use for use in uses(folder) if use.used == "Client(**)"]
    [use] = unseen
    assert use.fate is Fate.DIFFERS
    assert "flush_on_reconnect" in use.why
    assert "dead_retry" not in use.why  # it is seen


def test_subscripts_and_membership_are_calls(tree: Tree) -> None:
    folder = tree(
        'import pylibmc\nm = pylibmc.Client(["a"])\nm["a"] = m["b"]\n"c" in m\ndel m["d"]'
    )
    clients = [use.client for use in uses(folder) if use.kind == "call"]
    assert sorted(clients) == ["delete(key)", "get(key)", "get(key)", "set(key, value)"]


def test_instances_of_a_class_of_the_code_that_derives_from_one(tree: Tree) -> None:
    folder = tree(
        """\
        import pylibmc
        class Mine(pylibmc.Client):
            def __getitem__(self, key): ...
        mine = Mine(["a"])
        mine["a"] = mine["b"]
        mine.behaviors = {"_noreply": True}
        """
    )
    assert [(use.line, use.kind, use.used) for use in uses(folder)][-3:] == [
        (5, "call", "mine['a']"),
        (6, "assignment", "mine.behaviors = ..."),
        (6, "argument", "mine.behaviors['_noreply']"),
    ]


def test_handlers_patches_and_subclasses(tree: Tree) -> None:
    folder = tree(
        """\
        from unittest import mock
        import pylibmc, pymemcache
        class Mine(pylibmc.Client):
            def get(self, key): ...
        with mock.patch("pymemcache.client.base.Client.get"):
            try: ...
            except (OSError, pymemcache.MemcacheServerError): ...
        Mine(["a"], binary=True).get("k")
        raise pylibmc.NotFound("k")
        """
    )
    assert told(folder) == [
        (3, "subclass", "pylibmc.Client"),
        (5, "patch", "'pymemcache.client.base.Client.get'"),
        (7, "exception", "pymemcache.MemcacheServerError"),
        (8, "construction", "Mine(..., binary=)"),
        (9, "exception", "pylibmc.NotFound(...)"),
    ]


def test_settings_of_django(tree: Tree) -> None:
    folder = tree(
        """\
        BACKEND = "django.core.cache.backends.memcached."
        CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
                "LOCATION": "a:11211",
                "OPTIONS": {"no_delay": True, "retry_timeout": 3, "speed": 1},
            },
            "second": {
                "BACKEND": "django.core.cache.backends.memcached.PyLibMCCache",
                "OPTIONS": {"behaviors": {"ketama": True, "hash": "md5", "num_replicas": 1}},
            },
            "other": {"BACKEND": "django.core.cache.backends.db.DatabaseCache"},
        }
        """
    )
    assert [(use.line, use.kind, use.fate) for use in uses(folder)] == [
        (4, "setting", Fate.DIFFERS),
        (6, "argument", Fate.DIFFERS),
        (6, "argument", Fate.NONE),
        (9, "setting", Fate.DIFFERS),
        (10, "argument", Fate.DIFFERS),
        (10, "argument", Fate.NONE),
    ]
    assert uses(folder)[0].face == "'godropbox.django.GodropboxCache'"


@pytest.mark.parametrize(
    ("code", "library", "face"),
    [
        ("region.configure('dogpile.cache.pylibmc')", "dogpile.cache", "dogpile.cache.godropbox"),
        (
            "app.config['CACHE_TYPE'] = 'MemcachedCache'",
            "Flask-Caching",
            "godropbox.flask.GodropboxCache",
        ),
        (
            "CACHE_TYPE = 'flask_caching.backends.MemcachedCache'",
            "Flask-Caching",
            "godropbox.flask.GodropboxCache",
        ),
        (
            "caches.set_config({'default': {'cache': 'aiocache.MemcachedCache'}})",
            "aiocache",
            "godropbox.aiocache.GodropboxCache",
        ),
    ],
)
def test_settings_of_frameworks(code: str, library: str, face: str, tree: Tree) -> None:
    [use] = uses(tree(code))
    assert (use.library, use.kind, use.fate) == (library, "setting", Fate.DIFFERS)
    assert use.face == repr(face)
    if not face.startswith("dogpile"):
        module, _, name = face.rpartition(".")
        assert hasattr(import_module(module), name)


def test_the_cache_of_cachelib(tree: Tree) -> None:
    folder = tree("from cachelib import FileSystemCache, MemcachedCache as M\nM(['a']).get('k')")
    assert [(use.library, use.kind) for use in uses(folder)] == [
        ("cachelib", "import"),
        ("cachelib", "call"),
        ("cachelib", "construction"),
    ]


def test_a_folder_that_cannot_be_read_is_named(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree(good="import pylibmc", inner_in_code="import pylibmc")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "inner":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main([str(folder)]) == 2
    assert f"{folder / 'inner'}: not read: " in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error(tree: Tree) -> None:
    folder = tree("import pylibmc\n" + "pylibmc.Error\n" * 5000)
    command = [sys.executable, "-m", "godropbox.compat.check", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_other_files_that_take_a_client_from_one_are_read(tree: Tree) -> None:
    folder = tree(
        app_in___init__="",
        app_in_stores="""\
            import pymemcache
            mc = pymemcache.Client("a")
            def make(): return mc
            class Repo:
                def __init__(self): self.mc = mc
        """,
        app_in_relative="from . import stores\nstores.mc.get('a')",
        app_in_deep_in___init__="",
        app_in_deep_in_absolute="from app.stores import make as m\nm().get('a')",
        app_in_deep_in_parent="from ..stores import Repo\nRepo().mc.get('a')",
        app_in_again="from app.reexport import mc as store\nstore.get('a')",
        app_in_reexport="from .stores import mc",
        lines="from app import (\n    reexport,\n    stores,\n)\nstores.mc.get('a')",
        other="mc = {}\nmc.get('a')",
    )
    found = [(Path(use.path).name, use.used) for use in uses(folder) if use.kind == "call"]
    assert sorted(found) == [
        ("absolute.py", "m().get(...)"),
        ("again.py", "store.get(...)"),
        ("lines.py", "stores.mc.get(...)"),
        ("parent.py", "Repo().mc.get(...)"),
        ("relative.py", "stores.mc.get(...)"),
    ]


def test_fixtures_of_a_conftest(tree: Tree) -> None:
    folder = tree(
        conftest="""\
            import pytest, pylibmc
            @pytest.fixture
            def cache(): yield pylibmc.Client(['a'])
        """,
        tests_in_test_it="def test_it(cache):\n    assert cache.get_multi(['a']) == {}",
    )
    assert [use.used for use in uses(folder) if use.kind == "call"] == ["cache.get_multi(...)"]


def test_names_that_only_look_alike_are_no_uses(tree: Tree) -> None:
    folder = tree(
        '''\
        """pymemcache.Client is not used, and pylibmc.Client neither."""
        # import pymemcache
        import mypylibmc, godropbox.memcache as memcache
        from google.appengine.api import memcache as gae
        from . import pymemcache as own
        mc = memcache.Client("a")
        mc.get("pymemcache"); gae.get("a"); mypylibmc.Client()
        logging.getLogger("pymemcache")
        '''
    )
    assert uses(folder) == []


def test_a_module_of_the_code_may_be_called_memcache(tree: Tree) -> None:
    folder = tree(memcache="def get(key): ...", user="import memcache\nmemcache.get('a')")
    assert uses(folder) == []


def test_two_libraries_under_one_name_are_both_told(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree(
        """\
        try:
            import pylibmc as memcache
        except ImportError:
            import memcache
        memcache.Client(["a"]).get("k")
        """
    )
    found = {(use.library, use.kind) for use in uses(folder)}
    assert {("pylibmc", "call"), ("python-memcached", "call")} <= found
    main([str(folder)])
    out = capsys.readouterr().out
    assert "get(...) (pylibmc) -> the same; our Client: get(key, default)" in out
    assert "get(...) (python-memcached) -> the same; our Client: get(key, default)" in out


def test_a_file_that_does_not_parse_is_named_and_the_others_are_read(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree(
        bad="import pylibmc\nprint 1\n",
        good="import pylibmc",
        unrelated="print 1\n",  # mentions none of the libraries
    )
    (folder / "zero.py").write_bytes(b"import pylibmc\0")
    (folder / "latin.py").write_bytes(b"import pylibmc; x = '\xe9'\n")
    assert main([str(folder)]) == 2
    out = capsys.readouterr().out
    assert "bad.py: not read: line 2: Missing parentheses" in out
    assert "zero.py: not read: " in out
    assert "latin.py: not read: " in out
    assert "good.py:1:8: import pylibmc" in out
    assert "5 files looked at, 3 of which could not be read" in out


def test_what_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/no/such/path"]) == 2
    assert "no file or folder '/no/such/path'" in capsys.readouterr().err
    assert main(["no_such_module"]) == 2
    assert "no file, folder or module 'no_such_module'" in capsys.readouterr().err
    assert main(["sys"]) == 2
    assert "module 'sys' has no Python file" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([])


def test_a_module_is_found_by_name_and_not_imported(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree(
        pack_in___init__="raise SystemExit('imported')",
        pack_in_inner="import pylibmc",
        single="import pymemcache; raise SystemExit('imported')",
    )
    monkeypatch.syspath_prepend(str(folder))
    assert [use.library for use in check(["pack"]).uses] == ["pylibmc"]
    assert [use.library for use in check(["pack.inner"]).uses] == ["pylibmc"]
    assert [use.library for use in check(["single", "pack", "pack.inner"]).uses] == [
        "pylibmc",
        "pymemcache",
    ]


def test_environments_and_hidden_folders_are_left_out(tree: Tree) -> None:
    folder = tree(code="import pylibmc")
    for name in (".git", "venv", "node_modules", "__pycache__"):
        (folder / name).mkdir()
        (folder / name / "inside.py").write_text("import pylibmc")
    (folder / "venv" / "pyvenv.cfg").touch()
    (folder / "loop").symlink_to(folder)
    (folder / "notes.txt").write_text("import pylibmc")
    report = check([str(folder)])
    assert [Path(use.path).name for use in report.uses] == ["code.py"]
    assert report.files == 1
    # What is asked for by name is read.
    assert len(check([str(folder / "venv" / "inside.py")]).uses) == 1


def test_json_has_the_same_uses(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tree("import pylibmc\npylibmc.Client(['a']).fetch()")
    assert main(["--json", str(folder)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [use["kind"] for use in report["uses"]] == ["import", "call", "construction"]
    assert report["uses"][1] == {
        "path": str(folder / "code.py"),
        "line": 2,
        "column": 1,
        "library": "pylibmc",
        "kind": "call",
        "used": "pylibmc.Client(['a']).fetch()",
        "face": "",
        "client": "",
        "fate": "none",
        "why": "pylibmc 1.6.3 has no Client.fetch",
    }
    assert report["summary"] == {
        "files": 1,
        "fates": {"same": 2, "differs": 0, "none": 1},
        "kinds": {"call": 1, "construction": 1, "import": 1},
    }


def test_the_command_says_the_same_twice(tree: Tree) -> None:
    folder = tree(**{f"file{n}": WAYS[way] for n, way in enumerate(WAYS)})
    outs = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "godropbox.compat.check", str(folder)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        outs.add(done.stdout)
    assert len(outs) == 1


def test_code_of_any_shape_is_read(tree: Tree) -> None:
    """A long sum, a long chain of calls and of ``elif``, and names that lead in circles."""
    chain = "x" + ".f()" * 150
    branches = "if a: b()\n" + "".join(f"elif a == {n}: b()\n" for n in range(300))
    circles = "".join(f"n{i} = n{(i * 7 + 1) % 40} or n{(i * 3 + 2) % 40}\n" for i in range(40))
    folder = tree(f"import pylibmc\n{chain}\n{branches}{circles}n1 = pylibmc.Client(['a'])\n")
    (folder / "sum.py").write_text("import pylibmc\nx = " + "+".join(["1"] * 400))
    report = check([str(folder)])
    assert report.unread == []
    assert sorted(use.kind for use in report.uses) == ["construction", "import", "import"]


# The tables against the libraries, and against our faces of them.

INSTALLED = [library for library in LIBRARIES if library.roots]
# Modules of pymemcache's repository that its release lacks; our face has them.
UNPUBLISHED = ("pymemcache.client.ext", "pymemcache.client.ext.aws_ec_client")


def name_of(library: Library) -> str:
    return library.name


def module_of(name: str) -> ModuleType:
    if name != "memcache":
        return import_module(name)
    # By its place: under pytest that is the name of a folder of tests.
    place = str(metadata.distribution("python-memcached").locate_file("memcache.py"))
    spec = spec_from_file_location("python_memcached", place)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names_in(module: ModuleType, library: Library) -> set[str]:
    """Return the names of a module that are the library's own, and not modules."""
    names = {name for name in vars(module) if not name.startswith("_")}
    own = {"pylibmc", "_pylibmc"} if library.name == "pylibmc" else {*library.roots}
    found = set()
    for name in names:
        value = getattr(module, name)
        home = getattr(value, "__module__", None) or module.__name__
        if not isinstance(value, ModuleType) and (
            home.partition(".")[0] in own
            or (library.name == "python-memcached" and home == module.__name__)
        ):
            found.add(name)
    return found


IGNORED = {
    # Of pymemcache: type variables, loggers, and what it takes from the typing module.
    "T", "P", "Key", "logger", "Self", "lz4",
    # Of pylibmc.consts and client: loop variables, and modules under other names.
    "name", "key", "value", "exc", "modpkg", "modself", "n", "e",
}  # fmt: skip


@pytest.mark.parametrize("library", INSTALLED, ids=name_of)
def test_the_tables_have_every_name_of_the_libraries(library: Library) -> None:
    for name, known in library.modules.items():
        if name in UNPUBLISHED:
            continue
        module = module_of(name)
        theirs = names_in(module, library) - IGNORED
        listed = {each for each in known if not each.startswith("__")}
        assert theirs - listed == set() or name in library.without, (
            f"{name} has names that the table has not"
        )
        missing = {each for each in listed if not hasattr(module, each)}
        assert missing == set(), f"the table of {name} has names that it has not"


def classes(library: Library) -> Iterator[tuple[str, type, Thing]]:
    for module, names in library.modules.items():
        for name, full in names.items() if module not in UNPUBLISHED else ():
            thing = library.things[full]
            if thing.is_class and not thing.is_error:
                yield full, getattr(module_of(module), name), thing


def parameters(function: Any) -> tuple[list[str], bool] | None:
    """Return the names of parameters, and whether there are others; None where C hides them."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None
    kinds = {each.kind for name, each in signature.parameters.items() if name != "self"}
    if inspect.Parameter.POSITIONAL_ONLY in kinds:
        return None  # CPython 3.14 calls the one argument of a function in C "object"
    names = [
        name
        for name, each in signature.parameters.items()
        if name != "self" and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    return names, bool(kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD})


@pytest.mark.parametrize("library", INSTALLED, ids=name_of)
def test_the_tables_have_every_member_and_argument_of_the_libraries(library: Library) -> None:
    compared = 0
    for full, cls, thing in classes(library):
        if issubclass(cls, dict) and full != "pylibmc.pools.ThreadMappedPool":
            continue
        public = {
            name
            for name in dir(cls)
            if not name.startswith("_") and not isinstance(getattr(cls, name), type)
        }
        listed = set(thing.members)
        of_parents = full.endswith("RetryingClient")
        assert public - listed == set() or of_parents, f"{full} has members that the table has not"
        taken = parameters(cls)
        if taken is not None and thing.arguments is not None:
            names, _ = taken
            assert list(thing.arguments) == names, f"arguments of {full}"
            compared += 1
        for name, member in thing.members.items():
            theirs = getattr(cls, name, None)
            if member.arguments is None or not callable(theirs) or isinstance(theirs, type):
                continue
            taken = parameters(theirs)
            if taken is not None and not taken[1] and not member.open_ended:
                assert list(member.arguments) == taken[0], f"arguments of {full}.{name}"
                compared += 1
    assert compared > 20 or library.name == "pylibmc"


@pytest.mark.parametrize("library", INSTALLED[:2], ids=name_of)
def test_the_faces_have_what_the_tables_say(library: Library) -> None:
    """Every name that the table says is the same is there, and takes the same arguments."""
    for module, names in library.modules.items():
        if module not in library.faces:
            continue
        face = import_module(library.faces[module])
        for name, full in names.items():
            thing = library.things[full]
            where = f"{library.faces[module]}.{name}"
            if thing.fate is Fate.SAME:
                assert hasattr(face, name), f"{where} is not there"
                hold(where, getattr(face, name), thing)


def hold(where: str, ours: Any, thing: Thing) -> None:
    if thing.is_error:
        assert issubclass(ours, Exception)
        return
    if thing.arguments is not None:
        taken = parameters(ours)
        if taken is not None and not taken[1] and not thing.open_ended:
            # The face may take more; what the table says is not there, it has not.
            theirs = [
                name
                for name, each in thing.arguments.items()
                if each.fate is not Fate.NONE or each.refuses
            ]
            assert taken[0][: len(theirs)] == theirs, f"arguments of {where}"
    if isinstance(ours, type):
        for name, member in thing.members.items():
            if member.fate is not Fate.NONE and member.arguments is not None:
                assert hasattr(ours, name), f"{where}.{name} is not there"
                hold(f"{where}.{name}", getattr(ours, name), member)


def test_what_is_written_over_our_client_is_there() -> None:
    options = {field.name for field in memcache.ClientOptions.__dataclass_fields__.values()}
    seen = 0
    for library in LIBRARIES:
        for full, thing in library.things.items():
            for each in (thing.arguments or {}).values():
                name = each.client.partition("=")[0]
                if "=" in each.client:
                    assert name in options, f"{full}: {each.client}"
                    seen += 1
            for member in thing.members.values():
                call, paren, _ = member.client.partition("(")
                if paren and call.isidentifier() and call.islower():
                    assert hasattr(memcache.Client, call), f"{full}: {member.client}"
                    seen += 1
            if thing.is_error:
                for name in filter(None, thing.client.split(", ")):
                    assert hasattr(memcache, name.removeprefix("memcache.")), f"{full}: {name}"
                    seen += 1
    assert seen > 150


def test_a_file_under_several_names_is_read_by_the_first(tmp_path: Path) -> None:
    for at in range(9, 0, -1):
        (tmp_path / f"link{at}.py").symlink_to("code.py")
    (tmp_path / "code.py").write_text("import pymemcache\n")
    assert [use.path for use in uses(tmp_path)] == [str(tmp_path / "code.py")]
