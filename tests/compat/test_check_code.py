"""``python -m godropbox.compat.check``: what it finds in code, however the code is written."""

import os
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from support.checking import Tree, told, uses

from godropbox.compat.check import check
from godropbox.compat.check.__main__ import main
from godropbox.compat.check.tables import Fate

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
