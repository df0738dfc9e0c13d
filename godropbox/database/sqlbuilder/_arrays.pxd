# The C face of `_arrays`.
cimport cython
from godropbox.database.sqlbuilder._base cimport Node, operand, write_operand
from godropbox.database.sqlbuilder._forms cimport Form, check_type, type_text
from godropbox.database.sqlbuilder._render cimport Renderer

cdef int BITS, MUL, ATOM, UNKNOWN, VALUE, PREDICATE, ARRAY


cdef class ArrayLiteral(Form):
    @cython.locals(index=Py_ssize_t)
    cdef int write(self, Renderer out, tuple items, object detail) except -1


cdef class Subscript(Form):
    @cython.locals(named=bint, node=Node, index=Py_ssize_t, width=Py_ssize_t)
    cdef int write(self, Renderer out, tuple items, object detail) except -1
    cdef int _bound(self, Renderer out, object value) except -1


cdef class Relation(Form):
    pass


cpdef bint is_array(Node node) except -1
cpdef tuple brackets(Node base, object key)
cpdef tuple checked_items(object values, object kind)
@cython.locals(index=Py_ssize_t)
cdef int _write_item(Renderer out, object item) except -1
