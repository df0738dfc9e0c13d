# What the compiler is told about shards.py.


cdef class Shard:
    cdef readonly object address, id, name, pool, seen, state
    cdef readonly bint is_warming_up, is_watched, serves, takes_sentinels
    cdef readonly object _health


cdef class Fleet:
    cdef readonly tuple shards
    cdef readonly object of, of_many, placement, sole
