"""What servers answer, byte for byte, and what a user sees of it.

The facts are ``support.facts``'s. Fakes of each version are held to what was recorded, and so is
every real server: the memcached that is installed, and those of ``GODROPBOX_MEMCACHEDS``. What a
user sees is then asserted over the fakes and the real ones alike.
"""

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.dialects import DIALECTS, Conversation, Dialect, Store
from support.facts import FACTS, Fact, answers, asked_alone, normal, recorded
from support.memcached import running, version_of

RECORDED = recorded()
VERSIONS = list(RECORDED["misses"])
REAL = [
    shutil.which(os.environ.get("MEMCACHED", "memcached")) or "memcached",
    *filter(None, os.environ.get("GODROPBOX_MEMCACHEDS", "").split(":")),
]


def dialect_of(version: str, fact: Fact) -> Dialect:
    return replace(DIALECTS[version], must_log_in=fact.is_login, has_tokens="-C" not in fact.extra)


def fake_answers(version: str, fact: Fact, piece: int) -> list[str]:
    dialect = dialect_of(version, fact)
    store = Store(dialect.has_tokens)
    only = Conversation(dialect, store)
    found = []
    for sent in fact.sent:
        conversation = only if fact.is_login else Conversation(dialect, store)
        got = b""
        for part in (sent,) if fact.first is None else (sent[: fact.first], sent[fact.first :]):
            for at in range(0, len(part), piece):
                got += conversation.feed(part[at : at + piece])
        found.append(normal(got, version))
    return found


# The facts themselves


@pytest.mark.parametrize("version", VERSIONS)
def test_a_fake_answers_as_the_real_one_did(version: str) -> None:
    for name, fact in FACTS.items():
        said = RECORDED[name][version]
        sizes = [1 << 22] if any(len(sent) > 4096 for sent in fact.sent) else [1, 1 << 22]
        for piece in sizes:
            if name == "what a bad get loses" and piece == 1:
                continue  # which is about what comes in one piece
            got = fake_answers(version, fact, piece)
            for sent, answer, expected in zip(fact.sent, got, said, strict=True):
                assert answer == expected, (name, sent[:200])


@pytest.mark.parametrize("program", REAL)
def test_a_real_server_answers_as_it_did(program: str, tmp_path: Path) -> None:
    version = version_of(program)
    if version not in VERSIONS:
        return
    with contextlib.ExitStack() as stack:
        started: dict[tuple[str, tuple[str, ...]], str] = {}
        for name, fact in FACTS.items():
            how = (fact.kind, fact.extra)
            if how in started:
                host, port = started[how].split(":")
                asked_alone((host, int(port)), b"flush_all\r\n")
            else:
                server = running(fact.kind, tmp_path, program=program, extra=fact.extra)
                started[how] = stack.enter_context(server).address
            got = answers(fact, started[how], version)
            for sent, answer, expected in zip(fact.sent, got, RECORDED[name][version], strict=True):
                assert answer == expected, (name, sent[:200])
