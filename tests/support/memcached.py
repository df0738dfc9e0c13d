"""Real memcached processes for the tests: TCP, Unix socket, TLS and both kinds of login.

``MEMCACHED`` names another program than the one that is installed, ``MEMCACHED_ARGS`` arguments
that every server gets in addition, as in ``MEMCACHED_ARGS="-t 4 -o modern"``.
"""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

USER, PASSWORD = "ann", "secret"
EXTRA = shlex.split(os.environ.get("MEMCACHED_ARGS", ""))
HAS_TOKENS = "-C" not in EXTRA


@dataclass(frozen=True)
class Server:
    """A running memcached: its address, as ``memcache.connect`` takes it, and its process."""

    address: str
    process: "subprocess.Popen[bytes]"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(address: str) -> bool:
    try:
        if address.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(address[5:])
        else:
            host, port = address.split(":")
            socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def need_tokens() -> None:
    """Skip a test of CAS tokens where the servers that fixtures start have none."""
    if not HAS_TOKENS:
        pytest.skip("MEMCACHED_ARGS has -C: no CAS tokens")


def installed() -> str:
    """Return the path of the memcached that the tests start."""
    name = os.environ.get("MEMCACHED", "memcached")
    program = shutil.which(name)
    assert program, f"{name} is missing: apt-get install memcached"
    return program


def version_of(program: str) -> str:
    """Return the version of a memcached, such as 1.6.18."""
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stdout
    return said.split()[1]


def certificate(folder: Path, name: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """Make a key and a certificate for a name; return the paths of certificate and key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", f"subjectAltName={name}"]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o644)
    folder.chmod(0o755)
    return cert, key


def _sasl(folder: Path) -> dict[str, str]:
    """Make a SASL configuration and its data base of users; return the environment for it."""
    program = shutil.which("saslpasswd2", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "saslpasswd2 is missing: apt-get install sasl2-bin"
    users = folder / "users"
    command = [program, "-p", "-c", "-a", "memcached", "-u", socket.gethostname()]
    command += ["-f", str(users), USER]
    subprocess.run(command, input=PASSWORD.encode(), check=True)
    lines = ["mech_list: plain", f"sasldb_path: {users}", "pwcheck_method: auxprop"]
    (folder / "memcached.conf").write_text("\n".join([*lines, "auxprop_plugin: sasldb", ""]))
    return {"SASL_CONF_PATH": str(folder)}


@contextlib.contextmanager
def running(
    kind: str,
    folder: Path,
    port: int = 0,
    program: str | None = None,
    extra: Sequence[str] = EXTRA,
) -> Iterator[Server]:
    """Run a memcached of one kind: tcp, unix, tls, ascii-auth or sasl; on a free port if 0.

    `program` is the path of another than ``installed()``, `extra` more arguments.
    """
    # Memory for all large values of a session: it is taken only when used.
    command = [program or installed(), "-U", "0", "-m", "1024", "-t", "2", *extra]
    environment = dict(os.environ)
    if os.geteuid() == 0:
        command += ["-u", "root"]
    if kind == "unix":
        address = f"unix:{folder / 'memcached.sock'}"
        command += ["-s", address[5:]]
    else:
        port = port or _free_port()
        address = f"127.0.0.1:{port}"
        command += ["-l", "127.0.0.1", "-p", str(port)]
    if kind == "tls":
        cert, key = certificate(folder)
        command += ["-Z", "-o", f"ssl_chain_cert={cert},ssl_key={key}"]
    elif kind == "ascii-auth":
        (folder / "auth").write_text(f"{USER}:{PASSWORD}\n")
        command += ["-Y", str(folder / "auth")]
    elif kind == "sasl":
        command += ["-S"]
        environment |= _sasl(folder)
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 10
        while not _answers(address):
            assert process.poll() is None, f"memcached ended: {' '.join(command)}"
            assert time.monotonic() < until, f"memcached does not listen: {' '.join(command)}"
        yield Server(address, process)
    finally:
        process.kill()
        process.wait()
