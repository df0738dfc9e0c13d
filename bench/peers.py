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
    Peer("mmh3", "https://github.com/hajimes/mmh3"),
    Peer("xxhash", "https://github.com/ifduyue/python-xxhash"),
    Peer("pymysql", "https://github.com/PyMySQL/PyMySQL"),
)

if __name__ == "__main__":
    print(*(peer.name for peer in PEERS), sep="\n")
