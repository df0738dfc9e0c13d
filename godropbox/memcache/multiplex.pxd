# What the compiler is told about multiplex.py.

cimport cython

from .hub cimport Hub
from .protocol.talk cimport Peer
from .steps cimport ShardVisit, Visit


cdef class Operation:
    cdef readonly object manager, wait
    cdef readonly double deadline
    cdef Py_ssize_t left


cdef class Call:
    cdef readonly Visit visit
    cdef readonly Operation operation
    cdef Link link
    cdef object talk, exchange
    cdef readonly bint is_over
    cdef bint has_moved

    cpdef over(self, failure)
    @cython.locals(visit=Visit, operation=Operation)
    cdef _end(self, bint counts)
    cdef _fail(self, error, bint counts)


cdef class Link(Peer):
    cdef readonly object address, pipeline
    cdef public object transport
    cdef readonly bint is_open
    cdef Links _links
    cdef object _alarm, _get, _limit, _line
    cdef double _alarm_at
    cdef Py_ssize_t _swept
    cdef list _held
    cdef Call _prover
    cdef bint _fits, _has_graced, _is_leaving, _is_unjoined

    cpdef enter(self)
    cpdef submit(self, Call call)
    cdef _stand(self, taker)
    @cython.locals(call=Call)
    cpdef drain(self)
    @cython.locals(visit=Visit, share=ShardVisit)
    cdef _begin_call(self, Call call)
    cdef _over(self, Call call, failure)
    @cython.locals(visit=Visit, share=ShardVisit, fits=bint)
    cdef _go_on(self, Call call, failure, bint counts=*)
    @cython.locals(visit=Visit)
    cdef bint _goes_elsewhere(self, Call call, failure) except -1
    @cython.locals(each=Call)
    cdef _end_proving(self, Call prover)
    cdef _condemn(self, Call call)
    cdef _tell_all(self, list told)
    cdef _drop(self, Call call, failure)
    @cython.locals(hub=Hub)
    cdef _give_up(self, Call call, exchange, response)
    cpdef arm(self, double moment)
    @cython.locals(call=Call)
    cdef bint _tell_late(self, taker, bint sent, bint counts) except -1


cdef class Links:
    cdef readonly object address
    cdef readonly Hub hub
    cdef public Link only
    cdef tuple context
    cdef public bint joins
    cdef readonly bint interleaves, is_retired
    cdef list _links
    cdef double _dials_from

    @cython.locals(best=Link, only=Link, link=Link, count=Py_ssize_t, least=Py_ssize_t,
                   size=Py_ssize_t)
    cpdef Link pick(self)
    cdef Link _dialled(self)
    @cython.locals(call=Call, link=Link, visit=Visit)
    cdef _again(self, taker)
    cdef _gone(self, Link link)
    @cython.locals(link=Link)
    cdef _leave_idle(self, double moment)


@cython.locals(call=Call)
cdef double _deadline(taker) except? -1

@cython.locals(call=Call)
cdef bint _tell(taker, failure, bint sent, bint counts) except -1

@cython.locals(call=Call)
cdef bint _is_gone(taker) except -1

@cython.locals(call=Call)
cdef bint _moves_once(taker) except -1
