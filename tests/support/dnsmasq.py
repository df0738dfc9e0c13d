"""A real dnsmasq on a free port, whose records a test writes and changes."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from time import monotonic, sleep

import dns.message
import dns.query
import dns.resolver

__all__ = ["Dnsmasq"]


class Dnsmasq:
    """A DNS server; records are lines of its configuration, such as ``host-record=a,10.0.0.1``."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("dnsmasq", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "dnsmasq is missing: apt-get install dnsmasq-base"
        self._program = program
        self._config = folder / "dnsmasq.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def serve(self, *records: str) -> None:
        """Serve these records from now on, by a new process on the same port."""
        self.stop()
        self.port = self.port or _free_port()
        lines = ["no-resolv", "no-hosts", "bind-interfaces", "listen-address=127.0.0.1"]
        lines += [f"port={self.port}", "local=/probe/", "local-ttl=1", "auth-ttl=1", "user=root"]
        if not any(each.startswith("server=/test/") for each in records):
            lines.append("local=/test/")  # and what is not there is NXDOMAIN
        self._config.write_text("\n".join([*lines, *records, ""]))
        command = [self._program, "--keep-in-foreground", f"--conf-file={self._config}"]
        self._process = subprocess.Popen(
            [*command, "--pid-file="], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        until = monotonic() + 20
        question = dns.message.make_query("nobody.probe.", "A")
        while True:
            try:
                dns.query.udp(question, "127.0.0.1", timeout=0.2, port=self.port)
            except Exception:
                assert self._process.poll() is None, "dnsmasq ended"
                assert monotonic() < until, "dnsmasq does not answer"
                sleep(0.02)
            else:
                return

    def hang(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def resolver(self) -> dns.resolver.Resolver:
        """Return a resolver that asks it alone."""
        made = dns.resolver.Resolver(configure=False)
        made.nameservers = ["127.0.0.1"]
        made.port = self.port
        made.cache = None
        return made


def _free_port() -> int:
    """Return a port that is free for TCP and UDP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind(("127.0.0.1", 0))
            port: int = stream.getsockname()[1]
            try:
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
