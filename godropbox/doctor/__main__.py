"""The command ``python -m godropbox doctor``; its status is 0, 1 or 2 as ``main`` says."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._about import about
from ..errors import DropboxError
from ..memcache import Credentials
from .facts import Finding, Level
from .fleets import FleetFileError, compare, read_fleet
from .probing import Settings, examine
from .report import as_json, as_text, findings_of_comparison
from .rules import findings_of, findings_of_installation

if TYPE_CHECKING:
    import ssl

__all__ = ["main"]

SAMPLES = 10_000


def main(arguments: list[str] | None = None) -> int:
    """Print the report and return the exit status.

    It is 0 if there is nothing to do, 1 if there are warnings, 2 if something does not work, or the
    arguments are wrong.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if len(options.fleet) > 2:
        parser.error("--fleet may be given twice: two files are compared")
    try:
        fleets = [read_fleet(path) for path in options.fleet]
        comparison = None
        if len(fleets) == 2:
            comparison = compare(fleets[0], fleets[1], _keys(options.keys))
        servers = list(options.servers)
        if len(fleets) == 1 and not servers:
            servers = fleets[0].located()
        facts = examine(servers, _settings(options)) if servers else []
    except (DropboxError, FleetFileError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    here = about()
    findings = [*findings_of_installation(here), *findings_of(facts)]
    if comparison is not None:
        findings += findings_of_comparison(comparison)
    status = _status(findings)
    _print(as_json(here, facts, comparison, findings, status) if options.json else _text(findings))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m godropbox doctor",
        description="Look for what is wrong with this installation, with memcached servers, and "
        "between two files of a fleet; say what to do. Nothing is stored.",
        epilog="The status is 0 if there is nothing to do, 1 if there are warnings, and 2 if "
        "something does not work or the arguments are wrong.",
    )
    parser.add_argument(
        "servers", nargs="*", metavar="SERVER", help="host:port, [IPv6]:port or unix:/path"
    )
    parser.add_argument(
        "--fleet",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of servers; one is examined, two are compared",
    )
    parser.add_argument(
        "--keys",
        metavar="FILE",
        help=f"keys to compare two fleets by, a line each; {SAMPLES:,} samples unless given",
    )
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds for each operation")
    parser.add_argument("--pings", type=int, default=50, help="how many round trips are timed")
    parser.add_argument("--tls", action="store_true", help="speak TLS")
    parser.add_argument("--cafile", metavar="FILE", help="certificates to trust; implies --tls")
    parser.add_argument("--user", help="log in as this user")
    parser.add_argument("--password-file", metavar="FILE", help="whose first line is the password")
    parser.add_argument(
        "--mechanism",
        choices=("ascii", "sasl"),
        default="ascii",
        help="of the login: ascii (memcached -Y), unless named, or sasl (memcached -S)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    auth = None
    if bool(options.user) != bool(options.password_file):
        raise FleetFileError("--user and --password-file go together")
    if options.user:
        lines = Path(options.password_file).read_text("utf-8").splitlines()
        auth = Credentials(options.user, lines[0] if lines else "", options.mechanism)
    context = _context(options.cafile) if options.tls or options.cafile else None
    return Settings(timeout=options.timeout, pings=options.pings, tls=context, auth=auth)


def _context(cafile: str | None) -> "ssl.SSLContext":
    import ssl

    return ssl.create_default_context(cafile=cafile)


def _keys(path: str | None) -> list[str]:
    if path is None:
        return [f"user:{number}" for number in range(SAMPLES)]
    keys = Path(path).read_text("utf-8").splitlines()
    if not keys:
        raise FleetFileError(f"{path}: it must have at least one key, a line each")
    return keys


def _status(findings: Sequence[Finding]) -> int:
    levels = {each.level for each in findings}
    if Level.ERROR in levels:
        return 2
    return 1 if Level.WARNING in levels else 0


def _text(findings: Sequence[Finding]) -> str:
    return "\n".join(as_text(findings))


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # of ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
