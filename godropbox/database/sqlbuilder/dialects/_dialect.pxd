# The C face of `dialects._dialect`, for the modules that read a dialect's tables.
cdef class Dialect:
    cdef readonly dict templates
    cdef readonly dict levels
    cdef readonly object cast_words
    cdef readonly str string_agg
    cdef readonly str name
    cdef readonly str title
    cdef readonly str quote
    cdef readonly Py_ssize_t name_limit
    cdef readonly int style
    cdef readonly frozenset features
    cdef readonly dict operators
    cdef readonly dict types
    cdef readonly dict column_types
    cdef readonly tuple drivers
    cdef readonly bint like_escape
    cdef readonly bint decimal_literals
    cdef readonly bint offset_first
    cdef readonly str no_limit
    cdef readonly bint qualified_targets
    cdef readonly str ignore_word
    cdef readonly str dual
    cdef readonly str values_row
    cdef readonly bint values_casts
    cdef readonly dict declared_types
