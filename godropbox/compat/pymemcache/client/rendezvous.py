"""pymemcache's placement of keys: rendezvous hashing with murmur3, by our kernel."""

from collections.abc import Callable
from typing import Any

from ...._kernels import placement as _kernel
from ...._kernels._placement import low_bytes
from .murmur3 import murmur3_32

__all__ = ["RendezvousHash"]


class RendezvousHash:
    """The node with the highest hash of its name and the key has the key.

    `nodes` are the names, of text; `hash_function` takes a text and the `seed`.
    """

    def __init__(
        self,
        nodes: list[Any] | None = None,
        seed: int = 0,
        hash_function: Callable[[str, int], int] = murmur3_32,
    ) -> None:
        self.nodes: list[Any] = [] if nodes is None else nodes
        self.seed = seed
        self._function = hash_function
        self._is_usual = hash_function is murmur3_32 and seed == 0
        self._bound: list[Any] = []  # the nodes of the placement
        self._placed: Any = None  # None where it is not hashed as usual

    def hash_function(self, text: str) -> int:
        """Return the hash of a text, with the seed."""
        return self._function(text, self.seed)

    def add_node(self, node: Any) -> None:
        """Add a node, unless it is there."""
        if node not in self.nodes:
            self.nodes.append(node)

    def remove_node(self, node: Any) -> None:
        """Remove a node; raise ``ValueError`` if it is not there."""
        if node not in self.nodes:
            raise ValueError(f"No such node {node} to remove")
        self.nodes.remove(node)

    def get_node(self, key: Any) -> Any:
        """Return the node that has a key, None if there are no nodes."""
        placement = self._placement()
        if placement is None:
            return self._searched(key)
        return self._bound[placement.of(key if type(key) is str else f"{key}")]

    def _placement(self) -> Any:
        """Return the placement of keys of text, by the indices of nodes; None if it has none."""
        if self.nodes != self._bound:
            bound = [*self.nodes]
            self._placed = placement_of(bound) if self._is_usual and bound else None
            self._bound = bound
        return self._placed

    def _searched(self, key: Any) -> Any:
        winner, best = None, -1
        for node in self.nodes:
            score = self.hash_function(f"{node}-{key}")
            if score > best:
                winner, best = node, score
            elif score == best:
                winner = max(str(node), str(winner))
        return winner


def placement_of(nodes: list[Any]) -> Any:
    """Return the placement of keys of text on these nodes, by their indices."""
    # At equal scores the greatest name wins.
    ranked = sorted(((f"{node}-", at) for at, node in enumerate(nodes)), reverse=True)
    return _kernel.rendezvous((low_bytes(name), at) for name, at in ranked)
