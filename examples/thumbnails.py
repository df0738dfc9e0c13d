"""A page of 200 thumbnails from a sharded cache: one by one, and in one batch.

Run ``python examples/thumbnails.py``. It starts four memcached servers on free ports (or uses those
of ``--servers``), times a page with one get per thumbnail and with one ``get_many``, first with an
empty cache over a slow store, then with a full one, and prints the result. ``--chart`` plots it as
SVG. Without memcached it uses the in-memory client, and says so.
"""

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from godropbox.memcache import Client
from godropbox.memcache.testing import MockClient

Page = Callable[[list[str]], dict[str, bytes]]


class Store:
    """Permanent storage of thumbnails; a load is slow, whether of one or of many."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    def load(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return the thumbnails, 4 KiB each."""
        self.asked += 1
        time.sleep(self.seconds)
        return {name: name.encode().ljust(4096, b".") for name in names}


def one_by_one(client: Client, store: Store) -> Page:
    """Return a function that builds a page with one get, and on a miss a load, per thumbnail."""

    def page(names: list[str]) -> dict[str, bytes]:
        found = {}
        for name in names:
            image = client.get(name)
            if image is None:
                image = store.load([name])[name]
                client.set(name, image, 3600)
            found[name] = image
        return found

    return page


def all_at_once(client: Client, store: Store) -> Page:
    """Return a function that builds a page with one get, and on misses one load, for all."""

    def page(names: list[str]) -> dict[str, bytes]:
        found = client.get_many(names)
        missing = [name for name in names if name not in found]
        if missing:
            loaded = store.load(missing)
            client.set_many(loaded, 3600)
            found |= loaded
        return found

    return page


@contextlib.contextmanager
def servers(count: int) -> Iterator[list[str]]:
    """Run memcached servers on free ports; yield their addresses, none if not installed."""
    program = shutil.which("memcached")
    running: list[subprocess.Popen[bytes]] = []
    addresses = []
    try:
        for _ in range(count if program else 0):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = str(probe.getsockname()[1])
            command = [str(program), "-l", "127.0.0.1", "-p", port, "-U", "0"]
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                command += ["-u", "root"]
            running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            addresses.append(f"127.0.0.1:{port}")
        for address in addresses:
            wait_for(address)
        yield addresses
    finally:
        for process in running:
            process.kill()
            process.wait()


def wait_for(address: str) -> None:
    """Wait until a server listens on `address`."""
    host, _, port = address.partition(":")
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 1).close()
            return
        time.sleep(0.02)
    raise SystemExit(f"memcached does not listen at {address}")


def timed(page: Page, names: list[str]) -> float:
    """Return the seconds that one page takes."""
    start = time.perf_counter()
    found = page(names)
    taken = time.perf_counter() - start
    assert len(found) == len(names)
    return taken


STYLE = """
text{fill:#1f2328}.n{fill:#656d76;font-size:12px}.c{fill:#fff;stroke:#d8dee4}.b{fill:#0061fe}
.o{fill:#bcc4ce}.s{stroke:#1f2328;stroke-opacity:.6}.t{font-size:18px;font-weight:650}
.p{font-size:14px;font-weight:650}.r{font-size:13px}
@media(prefers-color-scheme:dark){text{fill:#e8ebef}.n{fill:#98a1ac}.c{fill:#12161c;stroke:#2d343d}
.b{fill:#4a90ff}.o{fill:#4d5763}.s{stroke:#fff}}
"""

Panels = dict[str, dict[str, list[float]]]


def milliseconds(seconds: float) -> str:
    """Format a time in milliseconds, with three significant digits."""
    return f"{1e3 * seconds:,.0f} ms" if seconds >= 0.1 else f"{1e3 * seconds:.3g} ms"


def panel(title: str, rows: dict[str, list[float]], top: int) -> list[str]:
    """Return the bars of one panel: medians, with a line for the middle half of the pages."""
    quarters = {label: statistics.quantiles(times, n=4) for label, times in rows.items()}
    fastest = min(quarters, key=lambda label: quarters[label][1])
    scale = 410 / max(high for _, _, high in quarters.values())
    parts = [f'<text class="p" x="24" y="{top}">{title}</text>']
    for row, (label, (low, median, high)) in enumerate(quarters.items()):
        y = top + 12 + 30 * row
        left, end = 226 + scale * low, 226 + scale * high
        width = max(scale * median, 2)
        css = "b" if label == fastest else "o"
        ratio = "" if label == fastest else f"{median / quarters[fastest][1]:.3g} times as long"
        parts += [
            f'<text class="r" x="214" y="{y + 16}" text-anchor="end">{label}</text>',
            f'<rect class="{css}" x="226" y="{y}" width="{width:.1f}" height="22" rx="3"/>',
            f'<path class="s" d="M{left:.1f} {y + 11}H{end:.1f}"/>',
            f'<text class="r" x="{max(end, 226 + width) + 9:.1f}" y="{y + 16}">'
            f'{milliseconds(median)}<tspan class="n" dx="8">{ratio}</tspan></text>',
        ]
    return parts


def chart(panels: Panels, title: str, note: str) -> str:
    """Return the panels as SVG, each with its own scale."""
    height = 96 + 96 * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{height}" role="img"'
        f' aria-label="{title}" viewBox="0 0 860 {height}"'
        ' font-family="-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">',
        f"<style>{STYLE}</style>",
        f'<rect class="c" x=".5" y=".5" width="859" height="{height - 1}" rx="10"/>',
        f'<text class="t" x="24" y="36">{title}</text>',
        '<text class="n" x="24" y="56">time for a page: shorter is better; the thin line is the '
        "middle half of the pages</text>",
    ]
    for index, (label, rows) in enumerate(panels.items()):
        parts += panel(label, rows, 88 + 96 * index)
    return "\n".join([*parts, f'<text class="n" x="24" y="{height - 18}">{note}</text></svg>\n'])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pages of thumbnails from a sharded cache.")
    parser.add_argument("--servers", nargs="*", help="addresses of memcached servers to use")
    parser.add_argument("--thumbnails", type=int, default=200, help="number per page")
    parser.add_argument("--pages", type=int, default=200, help="number of pages to time")
    parser.add_argument("--store", type=float, default=0.005, help="seconds that a load takes")
    parser.add_argument("--chart", type=Path, help="file to write the chart to")
    given = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        addresses = given.servers or stack.enter_context(servers(4))
        if addresses:
            where = f"{len(addresses)} memcached"
            client = Client(addresses, prefix="thumb:", timeout=5.0)
        else:
            where = "an in-memory cache, because memcached is not installed"
            client = Client.over(MockClient())
        stack.enter_context(client)
        names = [f"photo-{number:05}" for number in range(given.thumbnails)]
        show(client, Store(given.store), names, given.pages, where, given.chart)


def show(
    client: Client, store: Store, names: list[str], pages: int, where: str, path: Path | None
) -> None:
    """Time the page both ways, print the result, and plot it if `path` is given."""
    ways = {"one by one": one_by_one(client, store), "all at once": all_at_once(client, store)}
    empty: dict[str, list[float]] = {label: [] for label in ways}
    full: dict[str, list[float]] = {label: [] for label in ways}
    # Alternate, so that other load on the machine slows both alike.
    for _ in range(max(pages // 40, 2)):
        for label, page in ways.items():
            client.delete_many(names)
            empty[label].append(timed(page, names))
    loads = store.asked
    for _ in range(pages):
        for label, page in ways.items():
            full[label].append(timed(page, names))
    assert store.asked == loads, "a page that was all in the cache asked the store"
    panels = {"nothing in the cache yet": empty, "everything in the cache": full}
    for title, rows in panels.items():
        single, batch = (statistics.median(times) for times in rows.values())
        print(
            f"{title}: one by one {milliseconds(single)}, all at once {milliseconds(batch)}, "
            f"{single / batch:.3g} times as fast"
        )
    print(f"over {where}, {store.asked} loads from the store")
    if path is not None:
        note = (
            f"Over {where} on the same machine; a load from the store takes "
            f"{1e3 * store.seconds:g} ms. Medians of {pages} pages, of fewer with nothing cached."
        )
        title = f"A page of {len(names)} thumbnails of 4 KiB"
        path.write_text(chart(panels, title, note), encoding="utf-8")
        print(f"the chart: {path}")


if __name__ == "__main__":
    main()
