"""What a transaction does on its connection, and what its failures mean; no I/O, for both routers.

A transaction that an error has ended runs nothing more and commits nothing: some databases would go
on outside of it.
"""

from typing import Any, NoReturn

from ..._kernels._identity import refuse_copies
from ...errors import DropboxError
from ...resource_pool import LameDuckError, ManagedHandle
from ._borrowing import LATE, LOST, Borrowing, discard
from ._errors import HostLostError, RouterClosedError, StatementError, StatementTimeoutError
from ._fleet import Fleet, UnsentError, is_drivers, said_of
from ._statements import Rendered, render
from ._steps import Steps

__all__ = ["Transacting"]


class Transacting:
    """The state of one transaction, and its steps from its beginning to its end."""

    __slots__ = (
        "_connection",
        "_deadline",
        "_ended_by",
        "_fleet",
        "_is_broken",
        "_is_read_only",
        "_loan",
        "_router",
        "_seconds",
        "database",
        "host",
        "shard",
    )
    __reduce_ex__ = refuse_copies

    _router: Any  # of Borrowing

    def __init__(
        self,
        router: Borrowing,
        fleet: Fleet,
        shard: int,
        seconds: float | None,
        deadline: float | None,
        is_read_only: bool,
    ) -> None:
        self._router = router
        self._seconds = seconds
        self._deadline = deadline
        self._is_read_only = is_read_only
        self._is_broken = False
        self._ended_by = ""  # the error for which the database has ended it
        self._loan: Any = None
        self._connection: Any = None
        self.shard = shard
        self._go_by(fleet)

    def _go_by(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.database = fleet.databases[self.shard]
        self.host = fleet.groups[self.shard].hosts.master

    def _say(self, connection: Any, word: str) -> Any:
        """Run a word of our own, and return what PostgreSQL says that it did; a step.

        Raise ``UnsentError`` past the deadline; note in the connection that it was broken off.
        """
        raise NotImplementedError

    # Statements

    def _rendered(self, statement: Any, records: Any) -> Rendered:
        """Return a statement's text, if the transaction goes on."""
        if self._connection is None:
            raise RouterClosedError("the transaction has ended")
        self._loan.handle  # noqa: B018  # raises in the child of a fork
        router = self._router
        engine = router._engine
        rendered = render(statement, self.database, engine, records, in_transaction=True)
        if engine.resumes(rendered.text):
            self._connection.limit = None  # PostgreSQL takes a SET back, too
        elif self._ended_by:
            raise router._ended_before(self._fleet, self.shard, self.host, rendered, self._ended_by)
        return rendered

    def _failed(self, connection: Any, rendered: Rendered, error: BaseException) -> NoReturn:
        """Raise what the failure of a statement means."""
        if not isinstance(error, Exception):
            self._is_broken = True
            raise error
        is_late = connection.uses == LATE
        if not is_late and (isinstance(error, DropboxError) or not is_drivers(error)):
            raise error
        router = self._router
        raised = router._error_of(
            error, self._fleet, self.shard, self.host, rendered, is_late=is_late
        )
        if isinstance(raised, StatementError) and router._engine.ends_transaction(
            error, connection.raw
        ):
            self._ended_by = said_of(error, raised.code)
        if isinstance(raised, HostLostError | StatementTimeoutError):
            self._is_broken = True
            raised.maybe_done = False  # it was not committed
        raise raised from error

    # Its beginning

    def _first_word(self) -> str:
        engine = self._router._engine
        word: str = engine.begin_read if self._is_read_only else engine.begin
        return word

    def _beginning_again(self, loan: ManagedHandle | None, error: BaseException) -> Steps[None]:
        """Begin once more where that may help, after an error; else raise what it means.

        Without a `loan` no connection was lent.
        """
        router = self._router
        is_again = False
        while True:
            if loan is not None:
                is_late = loan.handle.uses == LATE
                if not self._is_unused(loan, error) or is_again:
                    raise self._error(error, "BEGIN", is_late=is_late) from error
                is_again = True
            elif (
                not isinstance(error, LameDuckError)
                or router._is_closed
                or self._fleet is router._fleet
            ):
                router._not_lent(error, self._fleet, self.shard, self.host, None, "BEGIN")
            else:
                self._go_by(router._fleet)  # the layout was replaced, and this host with it
            loan = None
            try:
                loan = yield router._borrow, (self._fleet, self.host, self._deadline)
                yield self._say, (loan.handle, self._first_word())
            except BaseException as again:
                error = again
            else:
                self._loan, self._connection = loan, loan.handle
                return

    def _is_unused(self, loan: ManagedHandle, error: BaseException) -> bool:
        """Close a connection that did not begin; return whether it had been idle, and was lost."""
        if isinstance(error, UnsentError):
            loan.release()
            return False
        if not isinstance(error, Exception):
            discard(loan)
            raise error
        was_pooled: bool = loan.handle.uses > 0
        loan.handle.uses = min(loan.handle.uses, LOST)
        loan.owner._lose(loan)
        return was_pooled

    def _error(self, error: BaseException, kind: str, *, is_late: bool) -> DropboxError:
        found: DropboxError = self._router._error_of(
            error, self._fleet, self.shard, self.host, None, is_late=is_late, kind=kind
        )
        return found

    # Its end

    def _taken(self) -> tuple[ManagedHandle, Any]:
        loan, connection = self._loan, self._connection
        self._loan = self._connection = None
        return loan, connection

    def _rolling_back(self, *, may_wait: bool) -> Steps[None]:
        """Roll back, and give the connection back if its state is known.

        Without `may_wait` the database does so by itself, as the connection is closed.
        """
        loan, connection = self._taken()
        if self._is_broken or not may_wait or connection.uses < 0 or not loan.is_active:
            discard(loan)
            return
        try:
            yield self._say, (connection, "ROLLBACK")
        except Exception:
            discard(loan)  # what the block raised counts
        except BaseException:
            discard(loan)
            raise
        else:
            connection.limit = None  # PostgreSQL takes a SET back, too
            loan.release() if connection.uses >= 0 else loan.discard()

    def _last_word(self) -> str:
        """Return what ends the transaction, if its connection is in a known state."""
        self._loan.handle  # noqa: B018  # raises in the child of a fork
        if self._is_broken or self._connection.uses < 0:
            self._is_broken = True  # so that nothing may have been done
            raise ConnectionAbortedError("the connection was lost before")
        return "ROLLBACK" if self._ended_by else "COMMIT"

    def _committed(self, said: object) -> None:
        """Give the connection back; raise if the database said that it rolled back."""
        loan, connection = self._loan, self._connection
        self._loan = self._connection = None
        is_ended = self._ended_by or said == "ROLLBACK"
        if is_ended:
            connection.limit = None
        if connection.uses < 0:  # it was broken off after its answer had come
            loan.discard()
        else:
            loan.release()
        if is_ended:
            raise self._ended()

    def _not_committed(self, error: BaseException) -> NoReturn:
        """Close the connection, and raise what the failure of a COMMIT means."""
        loan, connection = self._taken()
        if not loan.is_active:
            discard(loan)
            raise error
        if not isinstance(error, Exception):
            if not self._is_read_only:
                self._router._left_behind(self.shard, self.host, connection)
            discard(loan)
            raise error
        is_late = connection.uses == LATE
        discard(loan)
        if self._ended_by:
            raise self._ended() from error
        raised = self._error(error, "COMMIT", is_late=is_late)
        if isinstance(raised, HostLostError | StatementTimeoutError):
            sent = not self._is_broken and not self._is_read_only
            raised.maybe_done = raised.maybe_done and sent
            if raised.maybe_done:
                self._router._left_behind(self.shard, self.host, connection)
        raise raised from error

    def _ended(self) -> StatementError:
        by = self._ended_by or "an error"
        found: StatementError = self._router._ended_before(
            self._fleet, self.shard, self.host, None, by
        )
        return found
