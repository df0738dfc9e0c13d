"""The command ``python -m godropbox.compat.check``; its status is 0, 1 or 2 as ``main`` says."""

import argparse
import os
import sys
from io import TextIOWrapper

from .files import NotFoundError
from .report import as_json, as_text
from .tables import Fate
from .uses import check

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Print the report and return the exit status.

    It is 0 if every use has a counterpart, 1 if one has none, 2 if something could not be read.
    """
    parser = argparse.ArgumentParser(
        prog="python -m godropbox.compat.check",
        description="List what code uses of pymemcache, pylibmc, python-memcached and the back "
        "ends of frameworks over them, and what each use becomes with godropbox. Nothing is "
        "imported or run.",
        epilog="The status is 0 if every use has a counterpart, 1 if one has none, and 2 if a path "
        "does not exist or a file cannot be read.",
    )
    parser.add_argument(
        "names", nargs="+", metavar="PATH_OR_MODULE", help="a file, a folder, or a module's name"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have any bytes
    try:
        report = check(options.names)
    except NotFoundError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    try:
        print(as_json(report) if options.json else "\n".join(as_text(report)), flush=True)
    except BrokenPipeError:  # of ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if report.unread:
        return 2
    return int(any(use.fate is Fate.NONE for use in report.uses))


if __name__ == "__main__":
    sys.exit(main())
