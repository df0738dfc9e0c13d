"""Many callers over one connection to a server: who is sent, who waits in line, who is told what.

- ``Links``: the connections to one server. A fleet has them in the place of a pool.
- ``Link``: one connection: requests in flight (``_kernels.pipeline``), and a line of those that
  wait for the connection, for a probe of the server, or for room.

Callers come by ``callers``; what all connections of a client share is its ``Hub``. No I/O, and no
asyncio: the hub has the loop's functions, and what dials. Compiled as it stands
(``multiplex.pxd``).
"""

from collections import deque
from math import inf
from typing import Any

from .._kernels import pipeline as kernel
from .._kernels._guarded import FIELDS, own_copy, text_of
from .._kernels._identity import refuse_copies
from ..errors import DropboxError, NetworkError
from ..resource_pool import LameDuckError, PoolExhaustedError
from .errors import (
    ClientClosedError,
    DeadlineExceededError,
    NotSupportedError,
    ReplyError,
)
from .hub import Hub
from .outcomes import is_lost, located, named, settled
from .protocol.exchange import MetaGetExchange
from .protocol.talk import Peer, explained
from .steps import ShardVisit, Visit

__all__ = ["Call", "Link", "Links", "Operation"]

# A timer that is so many seconds late means that the loop was blocked: replies may lie unread.
_BLOCKED = 0.02
_GRACE = 0.005  # seconds for reading them
_TLS_MOST, _TLS_BYTES = 128, 8192  # requests in flight, and their bytes
_SOON = 0.02  # seconds before its deadline, in which a caller does not wait for a new connection
_PATIENCE = 0.1  # seconds between two attempts to make a spare connection
_FEW = 64


class Operation:
    """An operation under way: `wait` is filled when all of its visits are over."""

    __slots__ = ("deadline", "left", "manager", "wait")
    __reduce_ex__ = refuse_copies

    def __init__(self, wait: Any, manager: Any, deadline: float, left: int) -> None:
        self.wait = wait
        self.manager = manager
        self.deadline = deadline
        self.left = left


class Call:
    """A visit under way: in flight over `link`, or in its line."""

    __slots__ = ("exchange", "has_moved", "is_over", "link", "operation", "talk", "visit")
    __reduce_ex__ = refuse_copies

    def __init__(self, visit: Any, operation: Operation) -> None:
        self.visit = visit
        self.operation = operation
        self.link: Any = None
        self.talk: Any = None  # the visit, or its part of a batch
        self.exchange: Any = None
        self.has_moved = False
        self.is_over = False

    def over(self, failure: Exception | None) -> None:
        """Go on after a reply, or its failure."""
        self.link._over(self, failure)

    def _end(self, counts: bool) -> None:
        """Count as over; the last visit of an operation wakes its caller.

        A failure `counts` for the server, unless another caller was told of the same.
        """
        if self.is_over:
            return
        self.is_over = True
        operation, visit = self.operation, self.visit
        try:
            if counts or not isinstance(visit.outcome, (NetworkError, ReplyError)):
                visit.settle(operation.manager)
            else:
                visit.outcome = located(visit.shard, visit.outcome)
        except Exception as error:  # of a user's manager: it is for this caller alone
            visit.outcome = error
        finally:
            operation.left -= 1
            if operation.left == 0:
                operation.wait.fill(None)

    def _fail(self, error: Exception, counts: bool) -> None:
        if not self.is_over:
            self.visit.outcome = error
            self._end(counts)


class Link(Peer):
    """One connection to a server, which many callers share.

    It is being made until it `is_open`. Replies are in the order of requests. While the server is
    asked whether it knows a command, nothing else is sent behind the question.
    """

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_fits",
        "_get",
        "_has_graced",
        "_held",
        "_is_leaving",
        "_is_unjoined",
        "_limit",
        "_line",
        "_links",
        "_prover",
        "_swept",
        "address",
        "is_open",
        "pipeline",
        "transport",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, links: "Links") -> None:
        Peer.__init__(self)
        self.address = links.address
        self.interleaves = links.interleaves
        self.pipeline: Any = None
        self.transport: Any = None
        self.is_open = False
        self._links = links
        self._line: deque[Any] = deque()
        self._swept = _FEW  # the length at which it is swept next
        self._held: list[Call] = []
        self._prover: Any = None
        self._fits = False
        self._get: Any = None
        self._limit: float = inf
        self._alarm: Any = None
        self._alarm_at = inf
        self._has_graced = False
        self._is_leaving = False
        self._is_unjoined = False

    # As a peer

    def begin(self) -> None:
        """Check that the connection may be used. Raises ``ConnectionUnusableError``."""
        if not (self._is_valid and self._is_mine):
            raise self.unusable()

    def end(self) -> None:
        """Note that the reply fits."""
        self._fits = True

    def end_proof(self, proof: Any) -> bytes | None:
        """Keep what was found out; return the error line that answers the exchange, if any."""
        self._fits = proof.in_step
        return Peer.end_proof(self, proof)

    def server(self) -> str:
        """Return the server's address."""
        return self.address

    @property
    def in_flight(self) -> int:
        """How many requests are in flight, or wait in line."""
        return (len(self.pipeline) if self.is_open else 0) + len(self._line)

    def enter(self) -> None:
        """Check the loop; close a connection that the server has closed since it was used."""
        self._links.hub.enter()
        if not self.pipeline.is_fit():
            self.failed(EOFError())

    # Callers

    def submit(self, call: Call) -> None:
        """Carry a call: now, or in its turn."""
        call.link = self
        if (
            self.is_open
            and self._prover is None
            and not self._line
            and not self.pipeline.is_paused
            and not self.pipeline.is_full
        ):
            self._begin_call(call)
            return
        hub = self._links.hub
        if not hub.waits and (
            self.in_flight >= hub.most or (self.is_open and self.pipeline.is_full)
        ):
            call._fail(
                PoolExhaustedError(
                    f"{self.in_flight} requests to {self.address} are in flight, "
                    "the most that max_in_flight or max_in_flight_bytes allows"
                ),
                True,
            )
            return
        self._stand(call)

    def _stand(self, taker: Any) -> None:
        """Put a call or a get at the end of the line."""
        line = self._line
        if len(line) >= self._swept:  # of callers that are gone
            left = [each for each in line if not _is_gone(each)]
            line.clear()
            line.extend(left)
            self._swept = 2 * len(left) + _FEW
        line.append(taker)
        if self.pipeline is not None:
            self.pipeline.has_line = True
        self.arm(_deadline(taker))

    def drain(self) -> None:
        """Let those in line go on, as long as there is room."""
        line, pipeline = self._line, self.pipeline
        while line and self.is_open and self._prover is None:
            if pipeline.is_paused or pipeline.is_full:
                return
            taker = line.popleft()
            if isinstance(taker, Call):
                call = taker
                if not call.is_over and not call.operation.wait.done():
                    self._begin_call(call)
            elif not taker.wait.done() and not pipeline.put_get(taker):
                line.appendleft(taker)
                return
        if not line:
            pipeline.has_line = self._is_leaving or self._prover is not None
            if self._is_leaving and not len(pipeline) and self._is_valid:
                self.close()

    def leave(self) -> None:
        """Close the connection when what is in flight and in line is over."""
        self._is_leaving = True
        if self.pipeline is not None:
            self.pipeline.has_line = True  # so that ``drain`` is called
        if not self.in_flight:
            self.close()

    def _begin_call(self, call: Call) -> None:
        visit: Visit = call.visit
        visit._start(self, visit.exchanges)
        call.talk = visit
        if isinstance(visit, ShardVisit):
            share: Any = visit
            part = share._ready_part()
            if part is not None:
                call.talk = part
        self._go_on(call, None)

    def _over(self, call: Call, failure: Exception | None) -> None:
        if call.is_over and call is not self._prover:
            self._drop(call, failure)
        elif failure is None and self._prover is not None and self._prover is not call:
            self._held.append(call)  # its next request must not go behind the question
        else:
            self._go_on(call, failure)

    def _go_on(self, call: Call, failure: Exception | None, counts: bool = True) -> None:
        """Send the next request of a call, or end it."""
        self._fits = False
        talk = call.talk
        told = call.visit.outcome if call.is_over else None  # a late prover goes on for the others
        if told is not None:
            call.visit.outcome = []
        exchange = talk.advance(failure)
        if told is not None:
            call.visit.outcome = told
        if exchange is None:
            visit: Any = call.visit
            if talk is visit and told is None and self._goes_elsewhere(call, failure):
                return
            has_begun = True
            if talk is not visit:
                share: Any = visit
                share._end_part()
            else:
                has_begun = visit._has_begun
            fits = self._fits  # what follows changes it
            if failure is not None:
                _marked(visit.outcome, True)
            elif call.operation.wait.done() and isinstance(visit.outcome, list):
                for each, response in zip(visit.exchanges or (), visit.outcome, strict=False):
                    self._give_up(call, each, response)
            call._end(counts)
            if has_begun and not fits and failure is None:
                self._condemn(call)
        elif self._has_closed:
            self._go_on(call, ConnectionResetError("the connection was closed"), counts)
        elif self._is_proving or not (call.is_over or call.operation.wait.done()):
            call.exchange = exchange
            if self._is_proving:
                self._prover = call
                self.pipeline.has_line = True  # for gets that ask the pipeline alone
            self.pipeline.put(exchange.request, call, exchange.reply, call.operation.deadline)
        else:
            call.is_over = True  # its caller is gone, and nothing of it is in flight
        if self._prover is call and not self._is_proving:
            self._end_proving(call)

    def _goes_elsewhere(self, call: Call, failure: Exception | None) -> bool:
        """Make a visit again whose probe cost the connection: the server knows ASCII alone."""
        visit: Visit = call.visit
        if not visit._is_undone or call.operation.wait.done():
            return False
        is_told = failure is None or isinstance(visit.outcome, NotSupportedError)
        if not is_told and (self.answered_at < inf or self.pipeline.heard > -inf):
            return False  # it has answered before: it is the network's failure
        self._prover = None
        if failure is None:
            self._condemn(call)
        self._links._again(call)
        return True

    def _end_proving(self, prover: Call) -> None:
        """Let the others go on after a proof."""
        self._prover = None
        held, self._held = self._held, []
        for each in held:
            self._over(each, None)
        if self.is_open:
            self.drain()

    def _condemn(self, call: Call) -> None:
        """Close the connection after a reply that leaves it out of step."""
        outcome = call.visit.outcome
        why = f": {text_of(outcome)}" if isinstance(outcome, Exception) else ""
        self.failed(ConnectionAbortedError(f"the connection was closed after a bad reply{why}"))

    def _drop(self, call: Call, failure: Exception | None) -> None:
        """Drop the reply to a call whose caller was told that it is late."""
        if failure is not None or not self.is_open:
            return
        if isinstance(call.exchange, MetaGetExchange):
            try:
                self._give_up(call, call.exchange, call.exchange.result())
            except ReplyError as error:
                self.failed(ValueError(text_of(error)))
            return
        reply = call.exchange.reply
        if getattr(reply, "is_cut", False):  # whether more answers follow cannot be told
            self.failed(ConnectionAbortedError("the connection was closed after an error"))

    def _give_up(self, call: Call, exchange: Any, response: Any) -> None:
        """Send what follows an answer that nobody waits for: a lease is given up that it won."""
        last = exchange.abandoned(response) if isinstance(exchange, MetaGetExchange) else None
        if last is not None and self.is_open:
            hub = self._links.hub
            deadline = hub.clock() + self._limit
            operation = Operation(hub.room.wait(), call.operation.manager, deadline, 1)
            self.submit(Call(Visit(call.visit.shard, [last]), operation))

    # Times

    def arm(self, moment: float) -> None:
        """See to it that ``alarm`` is called at a moment, if not before."""
        if moment >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        hub = self._links.hub
        self._alarm_at = moment
        self._alarm = hub.at(max(moment - hub.clock(), 0.0), self.alarm)

    def alarm(self) -> None:
        """Tell late callers; close the connection if the server is silent while replies are due."""
        hub = self._links.hub
        now = hub.clock()
        delay = now - self._alarm_at
        self._alarm = None
        self._alarm_at = inf
        if delay > _BLOCKED and not self._has_graced:
            self._has_graced = True
            self.arm(now + _GRACE)
            return
        self._has_graced = False
        sent, due, silent = [], inf, inf
        if self.pipeline is not None:
            sent, due, silent = self.pipeline.take_late(now)
        unsent = [taker for taker in self._line if _deadline(taker) <= now]
        if unsent:
            left = [taker for taker in self._line if _deadline(taker) > now]
            self._line.clear()
            self._line.extend(left)
        counts = True  # that is one failure, however many are late
        for taker in sent:
            counts = not self._tell_late(taker, True, counts) and counts
        for taker in unsent:  # which the server never saw
            self._tell_late(taker, False, False)
        for taker in self._line:
            due = min(due, _deadline(taker))
        if silent <= now and self._is_valid:
            self.failed(
                DeadlineExceededError(
                    "the server sent nothing while a reply was due: the connection was closed"
                )
            )
            return
        if self._is_valid:
            self.arm(min(due, silent))

    def _tell_late(self, taker: Any, sent: bool, counts: bool) -> bool:
        """Tell a caller that it is late; return whether there was one to tell."""
        failure = TimeoutError("the deadline passed")
        if isinstance(taker, kernel.Get):
            return _fail_get(taker, failure, sent, counts)
        if not isinstance(taker, Call):
            return False
        call = taker
        if call.is_over:
            return False
        call._fail(_marked(explained(failure), sent), counts)
        return True

    # Ends

    def attach(self, pipeline: Any, transport: Any) -> None:
        """Take the connection that was established; callers wait until it is ``made``."""
        hub = self._links.hub
        most, most_bytes = hub.most, hub.most_bytes
        if not self.interleaves:
            # memcached 1.6 with TLS can overlook requests that OpenSSL has read ahead.
            most, most_bytes = min(most, _TLS_MOST), min(most_bytes, _TLS_BYTES)
        self.pipeline = pipeline
        pipeline.joins = self._links.joins
        self._get = pipeline.get
        self._limit = inf if hub.timeout is None else float(hub.timeout)
        self.transport = transport
        functions = (transport.write, transport.writelines, self.enter)
        pipeline.open(self, *functions, hub.timeout, most, most_bytes)

    def made(self) -> None:
        """Begin to send: the connection is established, and the login done."""
        if self._is_valid:
            self.is_open = True
            self.pipeline.has_line = bool(self._line) or self._is_leaving
            self.drain()

    def failed(self, error: Exception) -> None:
        """Close the connection, and tell everybody who waits for it.

        What surely was not sent goes over another connection; where the server had never answered
        over this one, once.
        """
        if not self._is_valid and self._has_closed:
            return
        self._is_valid = False
        self._has_closed = True
        was_open, self.is_open = self.is_open, False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = inf
        received, had_answered = 0, False
        sent: list[Any] = []
        unsent: list[Any] = []
        if self.pipeline is not None:
            received = self.pipeline.received
            had_answered = was_open and self.pipeline.heard > -inf
            sent, unsent = self.pipeline.end()
        if self.transport is not None:
            self.transport.abort()
        links = self._links
        links._gone(self)
        is_network = isinstance(error, (EOFError, OSError))
        if was_open and is_network and not isinstance(error, ConnectionAbortedError):
            links._leave_idle(-inf if self.pipeline is None else self.pipeline.heard)
        held, self._held, self._prover = self._held, [], None
        line = [*unsent, *self._line]
        self._line.clear()
        if self._is_unjoined:
            line = [*(each for each in sent if isinstance(each, kernel.Get)), *line]
            sent = [each for each in sent if not isinstance(each, kernel.Get)]
        told: list[tuple[Any, Exception | None, bool]] = [(call, None, True) for call in held]
        if not isinstance(error, (DropboxError, EOFError, OSError, ValueError)):
            error = ConnectionAbortedError(text_of(error))
        if isinstance(error, ValueError):  # the reply to the oldest request is bad
            told += [(taker, error, True) for taker in sent[:1]]
            sent = sent[1:]
            error = ConnectionAbortedError(
                f"the connection was closed after a bad reply: {text_of(error)}"
            )
        told += [(taker, _of_connection(error, received), True) for taker in sent[:1]]
        told += [(taker, _of_connection(error, 0), True) for taker in sent[1:]]
        moves = (was_open or links.has_open()) and not isinstance(error, ClientClosedError)
        soon = links.hub.clock() + _SOON
        # Gets that are asked once more; those that make a visit see to that themselves.
        for at, (taker, failure, _) in enumerate(told):
            if is_lost(failure) and _asks_once_more(taker, soon):
                told[at] = (taker, None, False)
        for taker in line:
            # Over a server that never answers it would go on for ever.
            goes_on = moves and _deadline(taker) > soon and (had_answered or _moves_once(taker))
            told.append((taker, None if goes_on else _of_connection(error, 0), False))
        self._tell_all(told)

    def _tell_all(self, told: list[tuple[Any, Exception | None, bool]]) -> None:
        """Tell takers how it failed, and whether their requests may have been sent.

        With no failure, one that was sent has its reply, and one that was not goes elsewhere.
        """
        raised: BaseException | None = None
        counts = not self._is_unjoined  # it is one failure, however many wait
        for taker, failure, sent in told:
            try:
                if failure is not None:
                    counts = not _tell(taker, failure, sent, counts) and counts
                elif sent:
                    self._go_on(taker, None)
                else:
                    self._links._again(taker)
            except BaseException as error:  # of a user's manager; the others are told all the same
                raised = raised or error
        if raised is not None:
            raise raised

    def unjoin(self) -> None:
        """Have each get be a request of its own: the server refused one of several keys.

        Such an answer leaves the connection out of step, and says nothing of a single key: a proxy
        gives it where one of its servers is dead.
        """
        self._links.joins = False
        self._is_unjoined = True
        self.failed(ConnectionAbortedError("the server refused a get of several keys"))

    def repeat(self, gets: list[Any]) -> None:
        """Ask again, for each key by itself: a proxy did not say which of them failed."""
        self._links.joins = False
        self._tell_all([(get, None, False) for get in gets])

    def close(self) -> None:
        """Close the connection; who waits for it gets ``ClientClosedError``."""
        self.failed(ClientClosedError("the client was closed"))


def _deadline(taker: Any) -> float:
    if isinstance(taker, Call):
        call = taker
        return call.operation.deadline
    deadline: float = taker.deadline
    return deadline


def _is_gone(taker: Any) -> bool:
    """Return whether nobody waits for a call or a get any more."""
    if isinstance(taker, Call):
        call = taker
        return call.is_over or bool(call.operation.wait.done())
    return bool(taker.wait.done())


def _moves_once(taker: Any) -> bool:
    """Return whether a call has not left a server that never answered before."""
    if not isinstance(taker, Call):
        return False
    call = taker
    if call.has_moved:
        return False
    call.has_moved = True
    return True


def _asks_once_more(taker: Any, soon: float) -> bool:
    """Return whether a get whose connection was lost is asked once more; then note that."""
    if not isinstance(taker, kernel.Get) or taker.wait.done() or taker.deadline <= soon:
        return False
    manager, shard, repeats = taker.context
    if repeats:
        taker.context = (manager, shard, False)
    return bool(repeats)


def _of_connection(error: Exception, received: int) -> Exception:
    """Return an error of a connection for one more caller."""
    if isinstance(error, EOFError):
        return ConnectionResetError(
            f"the server closed the connection after {received} bytes of the reply"
        )
    if isinstance(error, DropboxError):
        again = own_copy(error)
        return again if isinstance(again, Exception) else error
    return type(error)(*error.args) if isinstance(error, OSError) else error


def _marked(error: Any, sent: bool) -> Any:
    """Say in a network's error whether the request may have been sent."""
    if isinstance(error, NetworkError):
        error.__dict__[FIELDS] = {**error.fields, "sent": sent}
    return error


def _tell(taker: Any, failure: Exception, sent: bool, counts: bool) -> bool:
    """Tell a caller how the connection failed; return whether there was one to tell."""
    if isinstance(taker, kernel.Get):
        return _fail_get(taker, failure, sent, counts)
    if not isinstance(taker, Call):  # a login
        taker.over(failure)
        return False
    call = taker
    if call.is_over:
        return False
    if not sent:
        call.visit.peer = None  # no connection carried it
    if isinstance(failure, DropboxError):
        call._fail(_marked(failure, sent), counts)
    elif call.talk is None:  # it has not begun
        call._fail(_marked(explained(failure), sent), counts)
    else:
        call.link._go_on(call, failure, counts)
    return not call.visit.is_to_repeat()  # else what comes of that counts


def _fail_get(get: Any, failure: Exception, sent: bool, counts: bool) -> bool:
    if get.wait.done():
        return False
    manager, shard, _ = get.context
    error = failure if isinstance(failure, DropboxError) else explained(failure)
    error = _marked(error, sent)
    try:
        error = settled(manager, shard, error) if counts else located(shard, error)
        error = named(error, get.key)
    except Exception as raised:  # by a user's manager: it is for this caller alone
        error = raised
    get.wait.fail(error)
    return True


class Links:
    """The connections to one server: at most ``hub.size``, made when they are needed.

    `limits` are how many requests, and how many bytes of them, are in flight over each.
    """

    __slots__ = (
        "_dials_from",
        "_links",
        "address",
        "context",
        "hub",
        "interleaves",
        "is_retired",
        "joins",
        "only",
    )
    __reduce_ex__ = refuse_copies

    def __init__(self, hub: Hub, address: str, interleaves: bool) -> None:
        self.hub = hub
        self.address = address
        self.interleaves = interleaves
        self.is_retired = False
        self._links: list[Link] = []
        self._dials_from = 0.0  # when a spare connection may be made next
        self.joins = True  # whether gets may be one request
        # Of gets that make no visit: the manager, the shard, and whether they are asked once more.
        self.context: Any = None
        self.only: Any = None  # the one connection, where there is but one

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.address}: {len(self._links)}>"

    def pick(self) -> Link:
        """Return the connection for the next caller; raise ``LameDuckError`` if retired."""
        hub = self.hub
        if hub.loop is None or hub.running() is not hub.loop:
            hub.enter()
        only: Link | None = self.only
        if only is not None:
            if only.is_open and not len(only.pipeline):
                if not only.pipeline.has_just_heard(hub.clock()):
                    only.enter()
                only = self.only
            if only is not None:
                return only
        if self.is_retired:
            raise LameDuckError(f"the pool of connections to {self.address!r} was retired")
        best: Any = None
        least = size = 0
        for link in self._links:
            if link._is_leaving:
                continue
            size += 1
            count = link.in_flight
            # One that is being made is for those who find no other.
            if best is None or (link.is_open, -count) > (best.is_open, -least):
                best, least = link, count
        if best is None:
            return self._dialled()
        if best.is_open and not least and not best.pipeline.has_just_heard(hub.clock()):
            best.enter()
            if not best.is_open:
                return self.pick()
        if least and size < hub.size and hub.clock() >= self._dials_from:
            self._dialled()  # for the next
        found: Link = best
        return found

    def has_open(self) -> bool:
        """Return whether there is a connection that is made."""
        return any(link.is_open for link in self._links)

    def _dialled(self) -> Link:
        self._dials_from = self.hub.clock() + _PATIENCE
        link = Link(self)
        self._links.append(link)
        self.hub.links.add(link)
        if self.hub.size == 1:
            self.only = link
        self.hub.dial(link)
        return link

    def _gone(self, link: Link) -> None:
        if link in self._links:
            self._links.remove(link)
        self.hub.links.discard(link)
        self.hub.gone()
        if self.only is link:
            self.only = None

    def _leave_idle(self, moment: float) -> None:
        """Close the connections that have been idle since a moment, when one failed that was.

        What forgot that one while it was idle, such as a balancer, has forgotten those too. Nearly
        as long is enough: callers of one moment are spread over all connections.
        """
        latest = moment + (self.hub.clock() - moment) / 10
        for link in self._links.copy():
            if link.is_open and not link.in_flight and -inf < link.pipeline.heard <= latest:
                link.leave()

    def _again(self, taker: Any) -> None:
        """Carry what was not sent over another connection."""
        if isinstance(taker, Call):
            call = taker
            if call.is_over:
                return
            visit: Visit = call.visit
            lost = ConnectionResetError("the connection was closed")
            if call.talk is visit and visit._at:
                call.link._go_on(call, lost)  # a part of it was carried
                return
            if call.talk is not None and call.talk is not visit:
                call.talk.advance(lost)  # which lets it begin again
            call.talk = None
        try:
            link = self.pick()
        except LameDuckError as error:
            _tell(taker, error, False, True)
            return
        if isinstance(taker, Call):
            call = taker
            link.submit(call)
        else:
            link._stand(taker)
            link.drain()

    @property
    def in_flight(self) -> int:
        """How many requests are in flight or in line."""
        return sum(link.in_flight for link in self._links)

    def disconnect(self) -> None:
        """Close the connections when what is in flight is over; those who come get new ones."""
        self.only = None
        for link in self._links.copy():
            link.leave()

    def retire(self) -> None:
        """Make no more connections; close those there are when what is in flight is over."""
        self.is_retired = True
        self.disconnect()

    def close(self) -> None:
        """Close all connections at once."""
        self.is_retired = True
        self.only = None
        for link in self._links.copy():
            link.close()
