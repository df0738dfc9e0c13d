"""What the tests of ``godropbox.compat`` share."""

from pathlib import Path

import pytest
from support.checking import Tree, tree_in


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write files, by name or one alone, and return their folder."""
    return tree_in(tmp_path)
