"""One connection's state, and exchanges over it, one after the other. No I/O.

A driver carries the exchange that ``Talk.advance`` returns, and calls it with how that ended, until
it returns None. A connection counts as broken while an exchange is under way, whatever is raised.
Before the first exchange of a kind, the server is asked whether it knows such commands (``probe``).
Compiled as it stands (``talk.pxd``).
"""

import os
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any

from ..._kernels._args import shown
from ..._kernels._guarded import name_of, text_of, without_frames
from ..._kernels._identity import refuse_copies
from ..._kernels._signature import declared
from ..errors import (
    ClientClosedError,
    ConnectionLostError,
    ConnectionUnusableError,
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidTypeError,
    NetworkError,
    NotSupportedError,
    ReplyError,
    UsageError,
)
from .auto import Choice
from .exchange import ALIVE, META, Exchange, Probe
from .probe import Proof, lacks_meta

__all__ = ["Peer", "Talk", "check_bool", "check_timeout", "explained"]


def check_bool(name: str, value: Any) -> None:
    """Raise unless an option is True or False."""
    if not isinstance(value, bool):
        raise InvalidTypeError(f"{name} must be True or False, got {shown(value)}")


def check_timeout(timeout: Any) -> None:
    """Raise if the seconds for an operation are neither a number nor None, for no limit."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise InvalidTypeError(f"timeout must be a number in (0, 1e9) or None, got {timeout!r}")
    if not 0 < timeout < 1e9:
        raise InvalidArgumentError(f"timeout must be in (0, 1e9) seconds, got {timeout!r}")


def explained(failure: Exception) -> Exception:
    """Return how an exchange failed as an error of this package."""
    if isinstance(failure, (NetworkError, ReplyError, UsageError)):
        return failure
    if not isinstance(failure, OSError):
        broken = ReplyError(str(failure))
        broken.__cause__ = None  # raised in its handler, it is all there is to say
        return broken
    text = text_of(failure) or name_of(type(failure))
    error: NetworkError
    if isinstance(failure, TimeoutError):
        # A timeout that is not the system's own is in the kernel's words, whatever the channel's.
        error = DeadlineExceededError("the deadline passed" if failure.errno is None else text)
    else:
        error = ConnectionLostError(text)
    error.__cause__ = failure
    return error


class Peer:
    """The state of one connection to one server.

    `interleaves` tells whether a batch of any size may be one request: replies are received while
    requests are sent. `answered_at` is a moment by which the server had answered a first question
    over the connection, in ``time.monotonic()`` seconds; infinity until then.
    """

    __slots__ = (
        "_has_closed",
        "_is_mine",
        "_is_proving",
        "_is_valid",
        "_lacking",
        "_pid",
        "_proven",
        "_version",
        "answered_at",
        "interleaves",
    )
    __reduce_ex__ = refuse_copies
    __signature__ = declared

    def __init__(self) -> None:
        self.answered_at = inf
        self.interleaves = True
        self._has_closed = False
        self._is_mine = True
        self._is_proving = False
        self._is_valid = True
        self._lacking = 0  # the kinds of commands that the server is seen not to know
        self._pid = os.getpid()
        self._proven = 0  # the kinds of commands that the server knows
        self._version: str | None = None  # of the server, as far as known

    def _forked(self) -> None:
        self._is_mine = False

    @property
    def is_valid(self) -> bool:
        """Whether the connection may be used; once False, it stays False."""
        return self._is_valid and self._is_mine

    def begin(self) -> None:
        """Count as broken until ``end``. Raises ``ConnectionUnusableError``."""
        if not (self._is_valid and self._is_mine):
            raise self.unusable()
        self._is_valid = False

    def end(self) -> None:
        """Count as usable again, after a complete and fitting reply."""
        self._restore()

    def _restore(self) -> None:
        # In this order: whoever closes meanwhile sets the other flag first, so that either this
        # sees it, or what it sets comes later.
        self._is_valid = True
        if self._has_closed:
            self._is_valid = False

    def unusable(self) -> ConnectionUnusableError:
        """Return the error for an operation that cannot begin."""
        if not self._is_mine:
            return ConnectionUnusableError(
                f"the connection belongs to process {self._pid}, which forked this one"
            )
        if self._has_closed:
            return ClientClosedError("the connection was closed by its user")
        return ConnectionUnusableError("the connection broke in an earlier operation")

    def server(self) -> str:
        """Return the server's address, as far as known."""
        return "the server"

    def lacks(self, exchange: Exchange) -> bool:
        """Return whether the server is still to be asked whether it knows an exchange's command."""
        probe = exchange.probe
        return probe is not None and probe.kinds & ~self._proven != 0

    def begin_proof(self, probe: Probe) -> Proof:
        """Return what is to be asked; until ``end_proof`` no exchange counts as begun."""
        self._is_proving = True
        return Proof(probe, self._proven, self._version)

    def end_proof(self, proof: Proof) -> bytes | None:
        """Keep what was found out; return the error line that answers the exchange, if any.

        Raises ``NotSupportedError``, unless ASCII may be used instead.
        """
        self._is_proving = False
        if self.answered_at == inf:
            self.answered_at = monotonic()
        self._proven = proof.proven
        self._version = proof.version
        if proof.in_step:
            self._restore()
        else:
            self._is_valid = False
        if proof.error is not None:
            if proof.may_judge and not proof.proven & META:
                self._lacking |= META
                return None
            raise proof.told(proof.error, self.server())
        return proof.refusal


class Talk:
    """Exchanges over the connection `peer`, in order; what the server must know is asked first.

    `outcome` is the list of the results, or the error that ended the talk.
    """

    __slots__ = (
        "_at",
        "_exchange",
        "_has_begun",
        "_is_again",
        "_is_out_of_step",
        "_is_undone",
        "_other",
        "_proof",
        "_refusal",
        "_step",
        "_steps",
        "exchanges",
        "outcome",
        "peer",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, peer: Any, exchanges: list[Exchange]) -> None:
        self._prepare(exchanges)
        self._start(peer, exchanges)

    def _prepare(self, exchanges: Any) -> None:
        """Wait for a connection."""
        self.peer: Any = None
        self.exchanges: Any = exchanges
        self.outcome: Any = None
        self._is_undone = False
        self._is_again = False

    def _start(self, peer: Any, exchanges: Any) -> None:
        """Start, or start over on another connection."""
        self.peer = peer
        self.exchanges = exchanges
        self.outcome = []
        self._is_again = self._is_undone
        self._is_undone = False
        self._other: Exchange | None = None  # what goes out in the place of the current one
        self._at = 0
        self._exchange: Exchange | None = None
        self._has_begun = False
        self._is_out_of_step = False
        self._proof: Proof | None = None
        self._refusal: bytes | None = None
        self._step: Any = None
        self._steps: Iterator[Any] | None = None

    def advance(self, failure: Exception | None) -> Any:
        """Return the next exchange to carry, None when the talk is over.

        `failure` is how the last one failed, None if it did not.
        """
        try:
            return self._next(failure)
        except (NetworkError, ReplyError, UsageError) as error:
            self.outcome = without_frames(error)
        return None

    def _begin(self) -> None:
        """Prepare the exchanges, when the connection is known."""

    def _seen(self) -> Any:
        """Return what earlier connections showed of the server, None if that is not kept."""
        return None

    def _next(self, failure: Exception | None) -> Any:
        exchange = self._exchange
        if failure is not None:
            raise self._explained(failure)
        if self._proof is not None:
            assert self._steps is not None
            self._step = next(self._steps, None)
            if self._step is not None:
                return self._step
            self._end_proof()
            if exchange is not None and self.peer._proven & ALIVE:
                self.peer._proven &= ~ALIVE  # it is of this moment
                return exchange
        elif exchange is not None:
            self.outcome.append(exchange.result())
            self._at += 1
            self._other = None
            self._is_out_of_step = not exchange.in_step()
        else:
            self._begin()
        while self._at < len(self.exchanges):
            exchange = self.exchanges[self._at] if self._other is None else self._other
            if not exchange.request:
                self.outcome.append(exchange.result())
            elif self._refusal is not None:
                self.outcome.append(exchange.refused(self._refusal))
            else:
                if self._is_out_of_step:
                    raise ReplyError("the server refused an earlier part of the batch")
                if not self._has_begun:
                    self.peer.begin()
                    self._has_begun = True
                self._exchange = exchange
                if not self.peer.lacks(exchange):
                    return exchange
                if not self._turns(exchange):
                    step = self._prove(exchange)
                    if step is not None:
                        return step
                continue
            self._at += 1
            self._other = None
        if self._has_begun and not self._is_out_of_step and self._refusal is None:
            self.peer.end()
        return None

    def _turns(self, exchange: Exchange) -> bool:
        """Turn to ASCII if the server is seen not to know meta, and the exchange has a choice."""
        choice = exchange.probe
        if not isinstance(choice, Choice):
            return False
        peer = self.peer
        if self._is_again:  # over the connection before it was seen
            seen = self._seen()
            peer._lacking |= META
            if peer._version is None and seen is not None:
                peer._version = seen.version_without_meta()
        if not peer._lacking & META:
            return False
        if choice.needs:
            peer.end()
            proof = Proof(choice, peer._proven, peer._version)
            proof.may_judge = True
            raise proof.told(lacks_meta(), peer.server())
        try:
            self._other = choice.other()
        except UsageError:  # of what meta allows
            peer.end()
            raise
        return True

    def _prove(self, exchange: Exchange) -> Any:
        """Return the first question that tells whether the server knows what it is to be sent."""
        assert exchange.probe is not None
        proof = self._proof = self.peer.begin_proof(exchange.probe)
        if isinstance(exchange.probe, Choice):
            seen = self._seen()
            proof.may_judge = True
            proof.without_meta = None if seen is None else seen.version_without_meta()
        self._steps = proof.steps()
        self._step = next(self._steps, None)
        if self._step is None:
            self._end_proof()
        return self._step

    def _end_proof(self) -> None:
        proof = self._proof
        assert proof is not None
        self._proof = None
        self._refusal = self.peer.end_proof(proof)
        if proof.may_judge and proof.proven & META:
            seen = self._seen()
            if seen is not None:
                seen.with_meta()
        elif proof.may_judge and proof.error is not None:
            self._note(proof)
            if not proof.in_step:
                self._is_undone = proof.can_turn and not self._is_again
                raise proof.told(proof.error, self.peer.server())
        if self._refusal is None:
            self.peer.begin()

    def _note(self, proof: Proof) -> None:
        """Note that the server does not know meta commands, for its next connections."""
        seen = self._seen()
        if seen is not None and proof.version != proof.without_meta:
            seen.without_meta(proof.version)

    def _explained(self, failure: Exception) -> Exception:
        # An error of this package is not the system's, whatever else its class is.
        is_own = isinstance(failure, NetworkError)
        proof = self._proof
        if proof is not None and isinstance(failure, OSError) and not is_own:
            lost = self._step.lost(failure)
            if proof.may_judge and not proof.proven & META and isinstance(failure, ConnectionError):
                # It may be a proxy that closes on what it does not know.
                self._is_undone = proof.can_turn and not self._is_again and not self._step.rest
                if lost is not failure:
                    self._note(proof)
            if lost is not failure:
                told = proof.told(lost, self.peer.server())
                error = explained(told)
                if error is told:
                    error.__cause__ = failure
                return error
        elif isinstance(failure, ConnectionError) and not is_own and self._is_unknown():
            error = explained(self._unknown())
            error.__cause__ = failure
            return error
        return explained(failure)

    def _is_unknown(self) -> bool:
        """Return whether a close means that the server does not know what it was just sent.

        A proxy closes the connection then without a word; this one had just answered.
        """
        exchange = self._exchange
        if self._proof is not None or exchange is None or exchange.probe is None:
            return False
        return bool(exchange.probe.kinds & ALIVE) and exchange.reply.size == 0

    def _unknown(self) -> NotSupportedError:
        exchange: Any = self._exchange
        command = bytes(exchange.request[0]).split(None, 1)[0].decode("ascii", "backslashreplace")
        server, version = self.peer.server(), self.peer._version
        return NotSupportedError(
            f"{server}, version {version}: it does not know the command {command}; it closed the"
            " connection, as proxies do",
            address=server,
            version=version,
        )
