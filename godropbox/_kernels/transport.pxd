"""The C face of the ``transport`` kernel: what compiled modules cimport, as Python takes it.

Uncompiled modules take the chooser's attribute of this name; both say ``_kernels.transport``.
"""

from .transport_c cimport Line
