"""The one table of the libraries that are raced: what to install, and which version was.

It imports the standard library alone, because ``python bench/peers.py`` prints what to install
before there is an environment to run anything else in.
"""

from dataclasses import dataclass
from importlib import metadata

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True, slots=True)
class Peer:
    """A library: its name on PyPI, which is what pip is asked for, and where it lives."""

    name: str
    home: str

    def version(self) -> str | None:
        """Return the version that is installed, or None."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None


PEERS = (
    Peer("jump-consistent-hash", "https://github.com/lithammer/python-jump-consistent-hash"),
    Peer("uhashring", "https://github.com/ultrabug/uhashring"),
    Peer("pymemcache", "https://github.com/pinterest/pymemcache"),
    Peer("pylibmc", "https://github.com/lericson/pylibmc"),
    Peer("libmc", "https://github.com/douban/libmc"),
    Peer("meta-memcache", "https://github.com/RevenueCat/meta-memcache-py"),
    Peer("python-memcached", "https://github.com/linsomniac/python-memcached"),
    Peer("python-binary-memcached", "https://github.com/jaysonsantos/python-binary-memcached"),
    Peer("emcache", "https://github.com/emcache/emcache"),
    Peer("aiomcache", "https://github.com/aio-libs/aiomcache"),
    Peer("redis", "https://github.com/redis/redis-py"),
    Peer("coredis", "https://github.com/alisaifee/coredis"),
    Peer("valkey-glide", "https://github.com/valkey-io/valkey-glide"),
    Peer("uvloop", "https://github.com/MagicStack/uvloop"),
    Peer("mmh3", "https://github.com/hajimes/mmh3"),
    Peer("urllib3", "https://github.com/urllib3/urllib3"),
    Peer("xxhash", "https://github.com/ifduyue/python-xxhash"),
    Peer("SQLAlchemy", "https://github.com/sqlalchemy/sqlalchemy"),
    Peer("PyPika", "https://github.com/kayak/pypika"),
    Peer("pypika-tortoise", "https://github.com/tortoise/pypika-tortoise"),
    Peer("python-sql", "https://foss.heptapod.net/tryton/python-sql"),
    Peer("sqlglot", "https://github.com/tobymao/sqlglot"),
    Peer("cachebox", "https://github.com/awolverp/cachebox"),
    Peer("cachetools", "https://github.com/tkem/cachetools"),
    Peer("theine", "https://github.com/Yiling-J/theine"),
    Peer("cashews", "https://github.com/Krukov/cashews"),
    Peer("dogpile.cache", "https://github.com/sqlalchemy/dogpile.cache"),
    Peer("Django", "https://github.com/django/django"),
    Peer("Flask-Caching", "https://github.com/pallets-eco/flask-caching"),
    Peer("cachelib", "https://github.com/pallets-eco/cachelib"),
    Peer("mysql-replication", "https://github.com/julien-duponchelle/python-mysql-replication"),
    Peer("pymysql", "https://github.com/PyMySQL/PyMySQL"),
)

if __name__ == "__main__":
    print(*(peer.name for peer in PEERS), sep="\n")
