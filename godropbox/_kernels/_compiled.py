"""What is compiled: the one list, for the chooser and for setup.py, which runs this file alone."""

__all__ = ["KERNELS", "LIBRARY", "MODULES", "SEEN", "SMALLEST"]

# The one library that holds them all. The module of its own name is Cython's code that they share.
LIBRARY = "godropbox._native"

# Stems of pairs in this folder: ``hash2_c.pyx`` is compiled, ``hash2_py.py`` is its pure twin.
KERNELS = (
    "batch",
    "hash2",
    "lasting",
    "murmur3",
    "pipeline",
    "placement",
    "sqltext",
    "stack",
    "transport",
    "wire",
    "wire_request",
)

# Modules in Cython's pure-Python mode: compiled as they stand, importable uncompiled.
MODULES = (
    "godropbox.caching.flight",
    "godropbox.caching.fresh",
    "godropbox.caching.layers",
    "godropbox.caching.local",
    "godropbox.compat.pylibmc._client",
    "godropbox.compat.pymemcache.client._calls",
    "godropbox.compat.pymemcache.client._owed",
    "godropbox.database.sqlbuilder._base",
    "godropbox.database.sqlbuilder._clauses",
    "godropbox.database.sqlbuilder._columns",
    "godropbox.database.sqlbuilder._groups",
    "godropbox.database.sqlbuilder._nodes",
    "godropbox.database.sqlbuilder._prepared",
    "godropbox.database.sqlbuilder._render",
    "godropbox.database.sqlbuilder._selects",
    "godropbox.database.sqlbuilder._session",
    "godropbox.database.sqlbuilder._statement",
    "godropbox.database.sqlbuilder._tables",
    "godropbox.database.sqlbuilder._terms",
    "godropbox.database.sqlbuilder._unions",
    "godropbox.database.sqlbuilder._writes",
    "godropbox.memcache.base_client",
    "godropbox.memcache.batch_steps",
    "godropbox.memcache.client",
    "godropbox.memcache.codec",
    "godropbox.memcache.connection",
    "godropbox.memcache.fleet.shards",
    "godropbox.memcache.multiplex",
    "godropbox.memcache.operations",
    "godropbox.memcache.outcomes",
    "godropbox.memcache.protocol.ascii",
    "godropbox.memcache.protocol.auto",
    "godropbox.memcache.protocol.base",
    "godropbox.memcache.protocol.binary",
    "godropbox.memcache.protocol.exchange",
    "godropbox.memcache.protocol.meta",
    "godropbox.memcache.protocol.talk",
    "godropbox.memcache.raw",
    "godropbox.memcache.responses",
    "godropbox.memcache.sharded_client",
    "godropbox.memcache.steps",
    "godropbox.memcache.sync",
    "godropbox.resource_pool._ledger",
    "godropbox.resource_pool._pool",
    "godropbox.resource_pool._simple",
)

_UNSEEN = (
    "godropbox.database.sqlbuilder._groups",
    "godropbox.database.sqlbuilder._render",
    "godropbox.memcache.batch_steps",
    "godropbox.memcache.codec",
    "godropbox.memcache.multiplex",
    "godropbox.memcache.outcomes",
    "godropbox.memcache.steps",
    "godropbox.memcache.sync",
    "godropbox.resource_pool._ledger",
)
# Those whose functions users see, and ask for their signatures.
SEEN = tuple(name for name in MODULES if name not in _UNSEEN)

# Those in no hot path: a third smaller for a few percent of their time.
SMALLEST = (
    "godropbox.caching.flight",
    "godropbox.caching.fresh",
    "godropbox.compat.pylibmc._client",
    "godropbox.compat.pymemcache.client._calls",
    "godropbox.compat.pymemcache.client._owed",
    "godropbox.database.sqlbuilder._session",
    "godropbox.database.sqlbuilder._unions",
    "godropbox.memcache.operations",
    "godropbox.memcache.outcomes",
    "godropbox.memcache.protocol.ascii",
    "godropbox.memcache.protocol.auto",
    "godropbox.memcache.protocol.base",
    "godropbox.memcache.protocol.binary",
    "godropbox.memcache.protocol.meta",
    "godropbox.memcache.raw",
)
