"""Logins: each way to prove a password, TLS, and servers that are not what they should be."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.fakesources import Log, Source, logged, serve
from support.memcached import certificate
from support.streams import KINDS, connect

from godropbox.database import binlog

NATIVE, SHA2 = "mysql_native_password", "caching_sha2_password"


@pytest.fixture(scope="module")
def log() -> Log:
    whole = logged("my-simple")
    return Log(whole.head, whole.transactions[:4])


@pytest.fixture(scope="module")
def maria() -> Log:
    whole = logged("md-simple")
    return Log(whole.head, whole.transactions[:4])


@pytest.fixture(scope="module")
def key() -> Any:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def served(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def pem_of(key: Any) -> bytes:
    how = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, how)
    return pem


def der_of(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


def rows(kind: str, source: Source, context: ssl.SSLContext | None = None, **given: Any) -> int:
    """Log in, and return the number of rows that came."""
    with (
        serve(source, context) as address,
        connect(kind, address, blocks=False, **given) as events,
    ):
        return sum(len(event.rows) for event in events if isinstance(event, binlog.Rows))


def refused(kind: str, source: Source, context: Any = None, **given: Any) -> binlog.BinlogError:
    """Fail to log in; return the error, which names the server and came at the first attempt."""
    with serve(source, context) as address:
        with pytest.raises(binlog.BinlogError) as caught:
            connect(kind, address, **given)
        assert source.connections == 1
        assert str(caught.value).startswith(f"127.0.0.1:{address[1]}")
        assert not source.dumps
        return caught.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "given",
    [
        {"plugin": NATIVE},
        {"plugin": SHA2, "is_cached": True},
        {"plugin": NATIVE, "greets": SHA2},
        {"plugin": SHA2, "greets": NATIVE, "is_cached": True},
        {"plugin": NATIVE, "greets": "sha256_password"},
    ],
)
def test_a_password_is_proved_without_being_sent(kind: str, given: Any, log: Log) -> None:
    assert rows(kind, Source(log, **given)) > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plugin", [NATIVE, SHA2])
def test_a_wrong_password_is_refused(kind: str, plugin: str, log: Log) -> None:
    error = refused(kind, Source(log, plugin=plugin, is_cached=True), password="guess")
    assert isinstance(error, binlog.ServerError)
    assert error.code == 1045
    assert "Access denied" in str(error)


def test_a_way_that_is_not_known_is_refused(log: Log) -> None:
    error = refused("threads", Source(log, plugin="parsec"))
    assert "parsec" in str(error)
    assert NATIVE in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_password_is_sent_over_tls(
    kind: str, log: Log, files: tuple[Path, Path], served: ssl.SSLContext
) -> None:
    source = Source(log, plugin=SHA2, has_tls=True)
    trusts = ssl.create_default_context(cafile=str(files[0]))
    assert rows(kind, source, served, tls=trusts) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_password_is_not_sent_in_plain(kind: str, log: Log) -> None:
    error = refused(kind, Source(log, plugin=SHA2))
    assert "needs TLS" in str(error)
    assert "public_key" in str(error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asks", [False, True])
def test_a_whole_password_is_encrypted_for_a_key(kind: str, asks: bool, log: Log, key: Any) -> None:
    source = Source(log, plugin=SHA2, key=key)
    assert rows(kind, source, public_key="ask" if asks else pem_of(key)) > 0
    long = Source(log, plugin=SHA2, key=key, password="long " * 30)
    assert rows(kind, long, public_key=pem_of(key), password="long " * 30) > 0


def test_a_key_that_is_none_is_refused(log: Log, key: Any) -> None:
    error = refused("threads", Source(log, plugin=SHA2, key=key), public_key=b"no PEM")
    assert "public key" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrusted_certificate_is_refused(kind: str, log: Log, served: ssl.SSLContext) -> None:
    error = refused(kind, Source(log, has_tls=True), served, tls=ssl.create_default_context())
    assert "not trusted" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_another_name_is_refused(
    kind: str, log: Log, files: tuple[Path, Path], served: ssl.SSLContext
) -> None:
    trusts = ssl.create_default_context(cafile=str(files[0]))
    source = Source(log, has_tls=True)
    error = refused(kind, source, served, tls=trusts, server_hostname="db.example")
    assert "not trusted" in str(error)
    assert "db.example" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_tls_that_is_not_there_is_not_done_without(kind: str, log: Log) -> None:
    error = refused(kind, Source(log), tls=ssl.create_default_context())
    assert "offers no TLS" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_is_vouched_for_by_the_password(
    kind: str, maria: Log, files: tuple[Path, Path], served: ssl.SSLContext
) -> None:
    mine = der_of(files[0])
    good = Source(maria, has_tls=True, vouches="secret", certificate=mine)
    assert rows(kind, good, served, tls="password") > 0
    # Somebody in between shows a certificate of his own, and hands on what the server vouched for.
    other = Source(maria, has_tls=True, vouches="secret", certificate=b"another")
    assert "in between" in str(refused(kind, other, served, tls="password"))
    silent = Source(maria, has_tls=True)
    assert "does not vouch" in str(refused(kind, silent, served, tls="password"))


def test_an_unverified_server_gets_no_whole_password(log: Log, served: ssl.SSLContext) -> None:
    source = Source(log, plugin=SHA2, has_tls=True, vouches="secret")
    assert "needs TLS" in str(refused("threads", source, served, tls="password"))
    known = Source(log, plugin=SHA2, is_cached=True, has_tls=True, vouches="secret")
    assert NATIVE in str(refused("threads", known, served, tls="password"))
    clear = Source(log, plugin="mysql_clear_password", has_tls=True, vouches="secret")
    assert "mysql_clear_password" in str(refused("threads", clear, served, tls="password"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_this_machine_is_not_sent(kind: str, log: Log) -> None:
    source = Source(log, answers={"SELECT @@global.log_bin": b"\xfb/etc/passwd"})
    error = refused(kind, source)
    assert isinstance(error, binlog.DataError)
    assert "LOCAL INFILE" in str(error)


def test_words_of_a_server_begin_no_line_of_a_log(log: Log) -> None:
    words = (
        b"\xff\x10\x04#42000no\n2026-01-01 root logged in \x1b[31m"
        + "\u202e".encode()
        + b"x" * 9999
    )
    error = refused("threads", Source(log, answers={"SET": words}))
    assert str(error).isprintable()
    assert "\\n2026" in str(error)
    assert len(str(error)) < 700


def test_a_password_is_in_no_repr(log: Log) -> None:
    with (
        serve(Source(log)) as address,
        binlog.connect(address, user="reader", password="secret") as events,
    ):
        assert "secret" not in repr(events)
        assert "secret" not in repr(events._replica.options)


def test_a_server_without_a_log_is_refused(log: Log) -> None:
    error = refused("threads", Source(log, has_log=False))
    assert "log_bin=OFF" in str(error)
