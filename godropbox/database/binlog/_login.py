"""How a replica logs in, without I/O: the greeting, TLS, and the ways to prove a password.

``mysql_native_password`` and ``caching_sha2_password`` are known. A password goes out as it is only
over TLS whose certificate was verified, and over a Unix socket; else it is encrypted for the
server's public key, if there is one.
"""

import hashlib
import hmac
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final

from ._errors import DataError, ServerError
from ._talk import LARGEST_PART, Send, StartTls, Talk, checked, readable

__all__ = ["ASK", "Login", "Server", "log_in"]

# Capabilities of a client.
_LONG_PASSWORD: Final = 1
_PROTOCOL_41: Final = 1 << 9
_SSL: Final = 1 << 11
_SECURE_CONNECTION: Final = 1 << 15
_PLUGIN_AUTH: Final = 1 << 19
_WANTED: Final = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE_CONNECTION | _PLUGIN_AUTH
_UTF8MB4: Final = 45
_NATIVE: Final = "mysql_native_password"
_SHA2: Final = "caching_sha2_password"
_CLEAR: Final = "mysql_clear_password"
_ROUNDS: Final = 8  # of a login; no way takes more

ASK: Final = "ask"
"""The public key that the server sends when it is asked, whoever it is."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in, and over what.

    - `tls`: whether to go on over TLS.
    - `is_vouched`: whether the certificate is to be verified by the password, as MariaDB does it.
    - `is_local`: whether it is a Unix socket.
    - `public_key`: the server's, in PEM, ``ASK``, or None.
    """

    user: str
    password: str = field(default="", repr=False)
    tls: bool = False
    is_vouched: bool = False
    is_local: bool = False
    public_key: bytes | str | None = None

    @property
    def is_private(self) -> bool:
        """Whether a password may be sent as it is."""
        return self.is_local or (self.tls and not self.is_vouched)


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself."""

    version: str
    connection_id: int

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB."""
        return "mariadb" in self.version.lower()


@dataclass(slots=True)
class _Proof:
    """What a login has come to: the way, the salt, and what the password's hash vouches for."""

    plugin: str
    salt: bytes
    certificate: bytes = b""


def log_in(who: Login) -> Talk:
    """Log in; returns the ``Server``. Raises ``ServerError`` if it refuses."""
    server, capabilities, proof = _greeted(checked((yield None)))
    flags = _WANTED & capabilities | _LONG_PASSWORD
    if not flags & _PROTOCOL_41 or not flags & _SECURE_CONNECTION:
        raise ServerError(f"the server, {server.version}, is older than MySQL 4.1")
    if who.tls:
        if not capabilities & _SSL:
            raise ServerError(f"the server, {server.version}, offers no TLS, and tls asks for it")
        flags |= _SSL
        yield Send(_head(flags))
        proof.certificate = yield StartTls()
    answer = _first_answer(proof, who)
    if answer is None:  # the server will say which other way it takes
        proof.plugin, answer = _NATIVE, _native(who.password, proof.salt)
    user = who.user.encode() + b"\0"
    plugin = proof.plugin.encode() + b"\0" if flags & _PLUGIN_AUTH else b""
    yield Send(_head(flags) + user + bytes([len(answer)]) + answer + plugin)
    yield from _authenticated(who, proof)
    return server


def _greeted(payload: bytes) -> tuple[Server, int, _Proof]:
    if payload[0] != 10:
        raise DataError(f"the server speaks version {payload[0]} of the protocol, known is 10")
    end = payload.find(b"\0", 1)
    if end < 0:
        raise DataError(f"the server's greeting, of {len(payload)} bytes, does not end its version")
    version = readable(payload[1:end])
    at = end + 1
    if len(payload) < at + 31:
        raise DataError(f"the server's greeting has {len(payload)} bytes")
    number = int.from_bytes(payload[at : at + 4], "little")
    salt = payload[at + 4 : at + 12]
    at += 13
    capabilities = int.from_bytes(payload[at : at + 2] + payload[at + 5 : at + 7], "little")
    size = payload[at + 7]
    at += 18
    rest = max(13, size - 8)
    salt += payload[at : at + rest]
    plugin = payload[at + rest :].split(b"\0")[0].decode("ascii", "backslashreplace")
    return Server(version, number), capabilities, _Proof(plugin or _NATIVE, _salt(salt))


def _salt(data: bytes) -> bytes:
    if len(data) < 20:
        raise DataError(f"the server's salt has {len(data)} bytes, and 20 are due")
    return data[:20]


def _head(flags: int) -> bytes:
    return (
        flags.to_bytes(4, "little")
        + LARGEST_PART.to_bytes(4, "little")
        + bytes([_UTF8MB4])
        + bytes(23)
    )


# Proofs of a password


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _native(password: str, salt: bytes) -> bytes:
    """Return SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))."""
    if not password:
        return b""
    once = hashlib.sha1(password.encode()).digest()
    twice = hashlib.sha1(once).digest()
    return _xor(once, hashlib.sha1(salt + twice).digest())


def _sha2(password: str, salt: bytes) -> bytes:
    """Return SHA256(password) XOR SHA256(SHA256(SHA256(password)) + salt)."""
    if not password:
        return b""
    once = hashlib.sha256(password.encode()).digest()
    twice = hashlib.sha256(once).digest()
    return _xor(once, hashlib.sha256(twice + salt).digest())


def _first_answer(proof: _Proof, who: Login) -> bytes | None:
    """Return what a plugin is sent first, or None for one that is not known."""
    if proof.plugin == _NATIVE:
        return _native(who.password, proof.salt)
    if proof.plugin == _SHA2:
        return _sha2(who.password, proof.salt)
    return None


def _authenticated(who: Login, proof: _Proof) -> Talk:
    for _ in range(_ROUNDS):
        payload = checked((yield None))
        if payload[0] == 0x00:
            if who.is_vouched:
                _check_voucher(who, proof, payload)
            return
        if payload[0] == 0xFE:  # the server wants another way
            name, _, rest = payload[1:].partition(b"\0")
            proof.plugin = name.decode("ascii", "backslashreplace")
            if proof.plugin == _CLEAR and who.is_private:
                yield Send(who.password.encode() + b"\0")
                continue
            if proof.plugin not in (_NATIVE, _SHA2):
                raise ServerError(
                    f"user {who.user} logs in by {readable(name)}, known are {_NATIVE} and {_SHA2}"
                )
            proof.salt = _salt(rest)
            yield Send(_first_answer(proof, who) or b"")
        elif payload == b"\x01\x04" and proof.plugin == _SHA2:  # the whole password is due
            yield from _whole_password(who, proof.salt)
        elif payload != b"\x01\x03":  # it is in the server's cache, and OK follows
            raise DataError(f"the server answered a login with {payload[:2].hex()}")
    raise DataError(f"a login is not over after {_ROUNDS} packets of the server")


def _whole_password(who: Login, salt: bytes) -> Generator[Any, bytes, None]:
    password = who.password.encode() + b"\0"
    if who.is_private:
        yield Send(password)
        return
    key = who.public_key
    if key is None:
        raise ServerError(
            f"user {who.user} logs in by {_SHA2}, whose first login needs TLS with a verified "
            "certificate, a Unix socket, or the server's public_key"
        )
    if key == ASK:
        yield Send(b"\x02")
        key = checked((yield None))[1:]
    mask = (salt * (len(password) // len(salt) + 1))[: len(password)]
    yield Send(_encrypted(_xor(password, mask), key.encode() if isinstance(key, str) else key))


def _encrypted(data: bytes, key: bytes) -> bytes:
    """Return data encrypted by RSA for a public key in PEM, with OAEP and SHA-1, as MySQL does."""
    try:
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.hashes import SHA1
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError:
        raise ServerError(
            "a password is encrypted by the package cryptography: pip install godropbox[rsa]"
        ) from None
    try:
        public = load_pem_public_key(key)
        if not isinstance(public, rsa.RSAPublicKey):
            raise ValueError("it is no RSA key")
        how = padding.OAEP(mgf=padding.MGF1(algorithm=SHA1()), algorithm=SHA1(), label=None)
        return public.encrypt(data, how)
    except ValueError as wrong:
        raise DataError(f"the server's public key cannot be used: {wrong}") from None


def _check_voucher(who: Login, proof: _Proof, payload: bytes) -> None:
    """Check that the server knows the password's hash, and showed the certificate that arrived.

    From 11.4 on, MariaDB ends its OK with a byte 1 and the SHA-256, in hexadecimal, of
    SHA1(SHA1(password)), the salt, and the certificate's SHA-256.
    """
    if proof.plugin != _NATIVE:
        raise ServerError(
            f'tls="password" verifies a certificate by {_NATIVE}, and the login was by '
            f"{readable(proof.plugin.encode())}"
        )
    twice = hashlib.sha1(hashlib.sha1(who.password.encode()).digest()).digest()
    print_ = hashlib.sha256(proof.certificate).digest()
    due = b"\1" + hashlib.sha256(twice + proof.salt + print_).hexdigest().encode()
    found = payload[-65:].lower()
    if len(found) != 65 or found[0] != 1:
        raise ServerError(
            "the server does not vouch for its certificate by the password, as MariaDB 11.4 and "
            "later do for one that no authority signed"
        )
    if not hmac.compare_digest(found, due):
        raise ServerError(
            "the certificate is not the one that the server vouches for: somebody may be in between"
        )
