#!/usr/bin/env bash
# Cython 3.3.1: what it generates does not compile for abi3t, the stable ABI of Python 3.15 that
# one wheel could serve with and without the interpreter lock.
#
# PEP 803 makes PyObject opaque and leaves out PyModuleDef; a module exports its slots by a
# function, PyModExport_NAME (PEPs 793 and 820). Code of Cython 3.3.1 defines a PyModuleDef, static types and
# structs that begin with a PyObject, and asks for none of this where Py_TARGET_ABI3T is defined: a
# module of one function fails, and so does one with a class. So a wheel is needed for each version
# of Python, and two from 3.14: cp314 and cp314t, cp315 and cp315t. Cython's own plan is
# https://github.com/cython/cython/issues/7399.
#
# Seen with: Cython 3.3.1, CPython 3.15.2, gcc 16, Linux.
# Needs: a Python 3.15 with venv, pip and headers (PYTHON=... names it; Debian sid has python3.15,
# python3.15-venv and python3.15-dev) and cc; downloads packages into a temporary folder.
set -euo pipefail

python=${PYTHON:-python3.15}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"$python" -m venv venv
venv/bin/pip install -q --disable-pip-version-check cython==3.3.1
include=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')

cat >plain.c <<'C'
#include <Python.h>
static PySlot slots[] = {PySlot_STATIC_DATA(Py_mod_name, "plain"), PySlot_END};
PyMODEXPORT_FUNC PyModExport_plain(void) { return slots; }
C
echo 'def one(): return 1' >function.pyx
printf 'cdef class One:\n    cdef int n\n' >class.pyx
venv/bin/cython -3 function.pyx class.pyx

# compiles FILE: for the stable ABI without the lock, of 3.15.
compiles() {
    cc -fsyntax-only -I"$include" -DPy_TARGET_ABI3T=0x030f0000 "$1" >"$1.log" 2>&1
}

failures=0
if compiles plain.c; then
    echo "a module of hand-written C compiles for abi3t"
else
    echo "CHANGED: a module of hand-written C does not compile for abi3t"
    cat plain.c.log
    failures=1
fi
for file in function.c class.c; do
    cc -fsyntax-only -I"$include" "$file"
    if compiles "$file"; then
        echo "CHANGED: Cython's $file compiles for abi3t"
        failures=1
    else
        echo "Cython's $file compiles for this Python, not for abi3t: $(grep -c 'error:' "$file.log") errors, first:"
        grep -m 2 'error:' "$file.log"
    fi
done
exit "$failures"
