"""Each reference that compiled classes replace is guarded, or of one thread, and all are listed.

A new one fails here until it is listed, and each access to a guarded one has to be in a section.
Numbers and flags are not listed: a read of one is a single step.
"""

import pytest
from support.shared_attributes import Access, accesses, compiled_classes

# Guarded references of objects that threads share, and by what.
SECTION = "the object's own critical section"
LOAN = "the critical section of the handle"
TABLE = "the lock of the table of flights"
MAP = "the lock of the map's order"
GUARDED = {
    "_calls.Calls": dict.fromkeys(
        ("_injected", "_latest", "_protocol", "_shard", "_sharded", "_target"), SECTION
    ),
    "_ledger.Ledger": {"_idle": SECTION},
    "_ledger.Slot": {"_entry": LOAN},
    "_ledger.Waiter": {"next": "the critical section of the pool"},
    "_owed.Owed": {"_handle": SECTION},
    "_statement.Statement": {"_copies": SECTION},
    "batch_c.Keeper": {"spare": SECTION},
    "flight.Flight": dict.fromkeys(("done", "heir", "leader", "outcome"), TABLE),
    "local.Node": dict.fromkeys(("newer", "older", "value"), MAP),
    "transport_c.Spare": {"carrier": SECTION},
}
# Functions that are called in a section.
INSIDE = {
    "_ledger.Ledger._serve",
    "_ledger.Ledger._unpark_all",
    "flight.SingleFlight._join",
    "flight.SingleFlight._leave",
    "flight.SingleFlight._waits_for",
    "local.RecentMap._link",
    "local.RecentMap._unlink",
}
# Accesses outside a section, and why nothing can be replaced meanwhile.
ALONE = {
    "_owed.Owed.__del__": "nobody else has the object",
    "_owed.Owed._forked": "the child of a fork has one thread",
    "_pool.ManagedHandle.__del__": "nobody else has the handle",
    "_pool.ResourcePool._drop": "compared with None, not read",
    "_pool.ResourcePool._leaked": "nobody else has the handle",
    "_pool.ResourcePool._put": "compared with None, not read",
    "_pool.ResourcePool._judge": "the handle is the getter's until it is returned",
    "_pool.ResourcePool._keep_opened": "the handle is the getter's until it is returned",
    "_pool.ResourcePool._line_up": "the handle is the getter's until it is returned",
    "_pool.ResourcePool._step_out": "the handle is the getter's until it is returned",
    "_simple.SimpleResourcePool._is_fit": "the handle is the getter's until it is returned",
    "_simple.SimpleResourcePool._wake": "a chain is made in the section, and changed no more",
    "_ledger.Ledger._take_idle": "the handle is the getter's until it is returned",
    "_ledger.Ledger._start_over": "the child of a fork has one thread",
    "_ledger.Ledger._clear": "at first, or in the child of a fork, which has one thread",
    "flight.SingleFlight._wait": "the event is set before followers join, and changed no more",
    "_statement.Statement._own": "set once, in the section before it",
    "local.RecentMap.__init__": "nobody else has the map",
    "local.RecentMap.__del__": "nobody else has the map",
    "sync.ShortWay.get": "the loan is this call's, and nobody else has it",
    "sync.ShortWay.write": "the loan is this call's, and nobody else has it",
    "sync.ShortWay._idle": "the loan is this call's, and nobody else has it",
}
# Classes whose objects one thread uses, while they change.
CALL = "of one call, and not returned before its end"
LOOP = "of one event loop, whose thread alone may use it"
TURN = "of whoever has borrowed the connection, or has its turn"
RENDER = "of one rendering"
MAKER = "changed by the function that makes it, before it is returned"
FORK = "replaced in the child of a fork alone, which has one thread"
OWNED = {
    "_client.client": "set by the constructor",
    "_columns.Column": MAKER,
    "_extras.Extras": MAKER,
    "_inserts.Insert": MAKER,
    "_nodes.Binary": MAKER,
    "_pool.ManagedHandle": "set before the handle is returned",
    "_pool.ResourcePool": FORK,
    "_render.Renderer": RENDER,
    "_selects.Select": MAKER,
    "_selects.Source": MAKER,
    "_sources.DeclaredSource": MAKER,
    "_tables.TableSource": MAKER,
    "_terms.Aggregate": MAKER,
    "_unions.NamedQuery": MAKER,
    "_writes.Change": MAKER,
    "_writes.Write": MAKER,
    "batch_c.Batch": CALL,
    "batch_c.Part": CALL,
    "batch_steps.Gets": CALL,
    "batch_steps.Mutations": CALL,
    "exchange.Exchange": CALL,
    "flight.Lead": "of its leader",
    "flight.SingleFlight": FORK,
    "hub.Hub": LOOP,
    "layers.CacheOnStorage": FORK,
    "multiplex.Call": LOOP,
    "multiplex.Link": LOOP,
    "multiplex.Links": LOOP,
    "pipeline_c.Pipeline": LOOP,
    "pipeline_c.Wait": LOOP,
    "placement_c.Placement": MAKER,
    "sqltext_c.Text": RENDER,
    "steps.ManyKeys": CALL,
    "steps.OneKey": CALL,
    "steps.ShardVisit": CALL,
    "steps.Visit": CALL,
    "talk.Peer": TURN,
    "talk.Talk": CALL,
    "wire_c.Fed": CALL,
    "wire_c.Lent": CALL,
    "wire_c.Reply": CALL,
    "wire_request_c.Fields": CALL,
    "wire_request_c.Writer": CALL,
}
# Dicts from which ``get`` is called outside a section, and why no value is freed meanwhile.
UNCHANGING = {
    "_calls.Calls._asked": "a value is never replaced",
    "_dialect.Dialect.declared_types": "filled by the constructor alone",
    "_dialect.Dialect.operators": "filled by the constructor alone",
    "_dialect.Dialect.templates": "filled by the constructor alone",
    "_dialect.Dialect.types": "filled by the constructor alone",
    "base.Protocol._probes": "a value is never replaced",
    "batch_steps.Gets.answers": CALL,
    "codec.Codec._inflaters": "filled by the constructor alone",
    "codec.Codec._readers": "filled by the constructor alone",
}
_FORKED = ("_clear", "_forked", "_start_over")


@pytest.fixture(scope="module")
def found() -> list[Access]:
    references = {name: each.references() for name, each in compiled_classes().items()}
    return [each for each in accesses() if each.attribute in references[each.owner]]


def test_each_replaced_reference_is_listed(found: list[Access]) -> None:
    listed = {f"{owner}.{name}" for owner, names in GUARDED.items() for name in names}
    missing = [
        str(each)
        for each in found
        if each.is_store
        and each.owner not in OWNED
        and f"{each.owner}.{each.attribute}" not in listed
        and each.where.split(".")[-1] not in _FORKED
    ]
    assert missing == []


def test_each_guarded_reference_is_read_and_replaced_in_a_section(found: list[Access]) -> None:
    outside = [
        str(each)
        for each in found
        if each.attribute in GUARDED.get(each.owner, {})
        and not each.is_guarded
        and each.where not in INSIDE
        and each.where not in ALONE
    ]
    assert outside == []


def test_no_value_of_a_shared_dict_is_borrowed() -> None:
    """Cython's ``get`` of a dict loads the value, and then counts; ``look_up`` does not."""
    borrowed = {
        f"{each.owner}.{each.attribute.removesuffix('.get')}"
        for each in accesses()
        if each.attribute.endswith(".get") and not each.is_guarded and each.where not in INSIDE
    }
    assert borrowed == set(UNCHANGING)


def test_what_is_replaced_in_children_alone_is(found: list[Access]) -> None:
    stores = [each for each in found if each.is_store and OWNED.get(each.owner) == FORK]
    assert stores
    assert {each.where.split(".")[-1] for each in stores} <= set(_FORKED)


def test_no_list_names_what_is_no_more(found: list[Access]) -> None:
    stored = {each.owner for each in found if each.is_store}
    accessed = {each.where for each in found if each.attribute in GUARDED.get(each.owner, {})}
    assert set(GUARDED) | set(OWNED) == stored
    assert {*INSIDE, *ALONE} <= accessed
