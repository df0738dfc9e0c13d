# The C face of `_documents`.
cimport cython
from godropbox.database.sqlbuilder._base cimport Node, write_operand
from godropbox.database.sqlbuilder._forms cimport Form, Template, template_of
from godropbox.database.sqlbuilder._render cimport Renderer

cdef int NOT, COMPARE, ODD_VALUE, BITS, UNARY, ATOM, VALUE, PREDICATE, TEXT, JSON


cdef class Path(Form):
    cdef readonly str key
    cdef str _template(self, Renderer out)
    @cython.locals(last=Py_ssize_t, index=Py_ssize_t)
    cdef int write(self, Renderer out, tuple items, object detail) except -1


cdef class Document(Form):
    pass


cdef class Equality(Form):
    pass


cdef int _write_document(Renderer out, object text) except -1
cpdef tuple step(Node base, object key)
cpdef tuple text_of(Node part)
cdef object _checked_key(object key)
cpdef object document(object value)
