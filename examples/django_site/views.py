"""The views: each caches in another way, and counts how often it had to work.

- ``home``: a session in the cache, and a fragment of the template.
- ``report``: the whole page, by ``cache_page``.
- ``book``: an async view; of all requests that miss at once, in all processes, one loads.
- ``hot``: several values in one batch, and counters.
- ``hits``: what the servers say of it all.
"""

import asyncio
from typing import Any

from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_page

from godropbox.django.servers import reports

TITLES = {1: "Emma", 2: "Walden", 3: "Ulysses"}


def home(request: HttpRequest) -> HttpResponse:
    """Show the visitor's own count, and what is hot, made once a minute."""
    visits = request.session.get("visits", 0) + 1
    request.session["visits"] = visits
    return render(request, "home.html", {"visits": visits, "loads": _loads, "titles": TITLES})


def _loads() -> int:
    return int(cache.get("loads", 0))


@cache_page(60)
def report(request: HttpRequest) -> HttpResponse:
    """Show what takes long to make; the answer is cached for a minute, headers and all."""
    return render(request, "report.html", {"rows": [(n, n * n) for n in range(1, 11)]})


async def book(request: HttpRequest, number: int) -> JsonResponse:
    """Return a book, loaded once whatever number of requests misses it at once."""
    return JsonResponse(await cache.aget_or_set(f"book:{number}", lambda: _load(number), 300))


async def _load(number: int) -> dict[str, Any]:
    """Read a book from the data base, which is slow."""
    if number not in TITLES:
        raise Http404(f"no book {number}")
    await asyncio.sleep(0.05)
    await cache.aadd("loads", 0, None)  # the first of all, or memcached was emptied
    await cache.aincr("loads")
    await cache.aset(f"seen:{number}", TITLES[number], 300)
    return {"number": number, "title": TITLES[number]}


async def hot(request: HttpRequest) -> JsonResponse:
    """Return which books were loaded in the last five minutes, and how many loads there were."""
    seen = await cache.aget_many([f"seen:{number}" for number in TITLES])
    loads = await cache.aget("loads", 0)
    return JsonResponse({"seen": sorted(seen.values()), "loads": loads})


def hits(request: HttpRequest) -> HttpResponse:
    """Show how many gets each server had, and how many of them were hits."""
    clients = cache.clients  # type: ignore[attr-defined]  # of GodropboxCache
    servers = [report.figures() for report in reports(clients)]
    return render(request, "hits.html", {"servers": servers})
