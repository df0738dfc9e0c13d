# What the compiler is told about _multi.py.

cimport cython

from ._errands cimport Errand


@cython.locals(at=Py_ssize_t, errand=Errand, place=Py_ssize_t)
cpdef list grouped(list things, list places, Py_ssize_t shards)

@cython.locals(at=Py_ssize_t, place=Py_ssize_t)
cpdef _put(list answers, Errand errand, list some)
