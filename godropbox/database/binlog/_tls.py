"""TLS of a replica's connection: the context, the name to verify, and errors that are final."""

import ssl
from typing import Any

from godropbox._dial import tls_name

from ._errors import ServerError
from ._replica import ReplicaOptions

__all__ = ["context_of", "final", "host_of"]


def context_of(options: ReplicaOptions) -> ssl.SSLContext:
    """Return the context; with ``"password"`` the login verifies the certificate."""
    if options.tls == "password":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    found: ssl.SSLContext = options.tls
    return found


def host_of(options: ReplicaOptions, address: Any) -> str | None:
    """Return the name that a certificate has to have."""
    return options.server_hostname or tls_name(address)


def final(error: ssl.SSLError) -> Exception:
    """Return the error for a handshake that failed; a certificate does not get better by itself."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ServerError(f"the server's certificate is not trusted: {error.verify_message}")
    return error
