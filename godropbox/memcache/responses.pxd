# C types of the fields and locals of responses.py.

cimport cython
from libc.stdint cimport uint32_t, uint64_t


cdef class _Answer:
    cdef object _status


cdef class GetResponse(_Answer):
    cdef object _key
    cdef object _value
    cdef uint32_t _flags
    cdef uint64_t _cas


cdef class _HeldGetResponse(GetResponse):
    cdef object _held


cdef class _FailedGetResponse(_HeldGetResponse):
    cdef object _error


cdef class MutateResponse(_Answer):
    cdef object _key
    cdef uint64_t _cas


cdef class _HeldMutateResponse(MutateResponse):
    cdef object _held


cdef class _FailedMutateResponse(_HeldMutateResponse):
    cdef object _error


cdef class Response(_Answer):
    cdef object _error


cdef class CountResponse(Response):
    cdef object _key
    cdef object _count


cdef class VersionResponse(Response):
    cdef object _versions


cdef class StatsResponse(Response):
    cdef object _entries


cdef class MetaResponse(_HeldGetResponse):
    cdef object _details
    cdef object _error


cdef class _SkippedGetResponse(_HeldGetResponse):
    pass


cdef class _SkippedMutateResponse(_HeldMutateResponse):
    pass


cdef class _SkippedCountResponse(CountResponse):
    pass


cdef class _SkippedMetaResponse(MetaResponse):
    pass


@cython.locals(response=_FailedGetResponse)
cpdef GetResponse failed_get(key, status, error)

@cython.locals(response=_FailedMutateResponse)
cpdef MutateResponse failed_mutate(key, status, error)

@cython.locals(response=MutateResponse)
cpdef MutateResponse stored_mutate(key, status, uint64_t cas=*)

@cython.locals(response=GetResponse)
cpdef GetResponse one_get(key, value, uint32_t flags, uint64_t cas)

@cython.locals(at=Py_ssize_t, size=Py_ssize_t, response=GetResponse)
cpdef dict fill_gets(dict found, list keys, list values, const uint32_t[::1] flags, const uint64_t[::1] cas)

@cython.locals(at=Py_ssize_t, response=MutateResponse)
cpdef list list_mutations(list keys, bytes statuses, const uint64_t[::1] cas)
