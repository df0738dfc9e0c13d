"""The C face of the ``sqltext`` kernel: what compiled modules cimport, as Python takes ``sqltext``.

Uncompiled modules take the chooser's attribute of this name; both say ``_kernels.sqltext``.
"""

from .sqltext_c cimport Text, has_same, is_word, new_text, plainness, sendable
