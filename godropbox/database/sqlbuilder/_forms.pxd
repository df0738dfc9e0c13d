# The C face of `_forms`, for itself and for the modules compiled beside it.
cimport cython
from godropbox.database.sqlbuilder._base cimport (
    Node, always_null, family_of, never_true, nulls_of, operand, write_operand
)
from godropbox.database.sqlbuilder._render cimport Renderer
from godropbox.database.sqlbuilder._statement cimport Query

cdef int LOOSE, NOT, COMPARE, BITS, UNARY, ATOM, VALUE, PREDICATE, NULL, TEXT


cdef class Form:
    cdef readonly int family
    cdef readonly int kind
    cdef readonly str name
    cdef readonly int prec
    cdef int write(self, Renderer out, tuple items, object detail) except -1
    cdef int level(self, Renderer out) except -1
    cdef int nulls(self, tuple items) except -1


cdef class Prefix(Form):
    @cython.locals(node=Node)
    cdef int write(self, Renderer out, tuple items, object detail) except -1


cdef class Concat(Form):
    @cython.locals(operator=bint, index=Py_ssize_t)
    cdef int write(self, Renderer out, tuple items, object detail) except -1


cdef class Collate(Form):
    pass


cdef class Truth(Form):
    pass


cdef class Distinct(Form):
    @cython.locals(native=bint)
    cdef int write(self, Renderer out, tuple items, object detail) except -1


cdef class Ilike(Form):
    pass


cdef class Quantified(Form):
    @cython.locals(query=Query)
    cdef int write(self, Renderer out, tuple items, object detail) except -1


cdef class Escaped(Form):
    pass


cdef class Cast(Form):
    pass


cdef class Template(Form):
    cdef readonly str key
    @cython.locals(least=int, index=Py_ssize_t)
    cdef int write(self, Renderer out, tuple items, object detail) except -1


cpdef str template_of(Renderer out, str key)
cpdef str type_text(Renderer out, str kind)
cpdef str check_type(object kind)
cpdef str check_collation(object name)
cpdef tuple negated(object value)
cpdef tuple bit_inverted(object value)
@cython.locals(node=Node)
cpdef tuple concatenated(tuple items)
cpdef int refuse_text(Node left, object right) except -1
@cython.locals(node=Node)
cpdef str pattern(object text)
cpdef str escaped(str text)
cpdef str truth_words(object value, str words)
cpdef str words_for_extract(object field)
