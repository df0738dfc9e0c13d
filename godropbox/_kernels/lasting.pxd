"""The C face of the ``lasting`` kernel: what compiled modules cimport, as Python takes it.

Uncompiled modules take the chooser's attribute of this name; both say ``_kernels.lasting``.
"""

from .lasting_c cimport Copies, call, gdbx_count, gdbx_flag, is_foreign
