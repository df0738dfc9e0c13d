"""Writes the report of the last run: ``python -P bench/__main__.py``."""

import sys
from pathlib import Path

# Last, so that an installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.report import main

main()
