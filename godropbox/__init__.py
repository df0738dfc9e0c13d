"""godropbox for Python: sharding, memcached and SQL text, compiled.

This module tells what is running and imports nothing else of the package:

- ``__version__``: the version, as text.
- ``IMPLEMENTATION``: ``"native"`` (compiled) or ``"pure"`` (Python); see ``python -m godropbox``.
"""

from ._kernels import IMPLEMENTATION

__all__ = ["IMPLEMENTATION", "__version__"]

__version__ = "0.1.0"
