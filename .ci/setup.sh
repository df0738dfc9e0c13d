# shellcheck shell=bash
# What the commands of this repository need from a machine: Debian packages, a Python, an
# environment. Sourced by tests/run and bench/run (bash, `set -euo pipefail`, at the root), it only
# defines functions. Each says what it does in one line on stderr, and nothing when there is
# nothing to do. A failure ends the calling script with the line to type.

step() { printf '==> %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# quietly COMMAND...: run it with its output kept back, shown only when it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || status=$?
    if ((status)); then tail -n 40 "$log" >&2; fi
    rm -f "$log"
    return "$status"
}

# counting COMMAND...: run a build quietly, but say every ten seconds how far it is.
counting() {
    local log status=0
    log=$(mktemp)
    "$@" 2>&1 | tee "$log" | counts || status=$?
    if ((status)); then tail -n 40 "$log" >&2; fi
    rm -f "$log"
    return "$status"
}

# counts: of setup.py's lines on stdin, "build: 12 of 47 compiled", show the last and some before.
counts() {
    local line next=$((SECONDS + 10))
    while IFS= read -r line; do
        if [[ $line =~ build:\ ([0-9]+)\ of\ ([0-9]+)\ compiled ]] &&
            ((SECONDS >= next || BASH_REMATCH[1] == BASH_REMATCH[2])); then
            step "${BASH_REMATCH[0]}"
            next=$((SECONDS + 10))
        fi
    done
}

# need_debian PACKAGE...: install what is missing when root, else name the line to type.
need_debian() {
    local package missing=()
    for package in "$@"; do
        if [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) != ii* ]]; then
            missing+=("$package")
        fi
    done
    if ((${#missing[@]} == 0)); then return; fi
    if ! command -v apt-get >/dev/null; then
        fail "this needs what Debian calls ${missing[*]}; install it and run this again"
    fi
    local line="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    if ((EUID)); then fail "packages are missing; as root, type: $line"; fi
    step "install Debian packages: ${missing[*]}"
    # At run level 1 a package's server is installed and not started.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    if [[ -z ${APT_UPDATED:-} ]]; then
        quietly apt-get -o DPkg::Lock::Timeout=300 update || true # the old lists may do
        APT_UPDATED=1
    fi
    quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" ||
        fail "apt-get failed; type: $line"
}

# need_command COMMAND PACKAGE: have the command, by its Debian package where it is missing.
need_command() {
    if command -v "$1" >/dev/null; then return; fi
    need_debian "$2"
    hash -r
    command -v "$1" >/dev/null || fail "$1 is missing, and the package $2 did not bring it"
}

# need_compiler: have a C compiler and the C library's headers, unless the build is a pure one.
need_compiler() {
    if [[ ${GODROPBOX_BUILD:-auto} == pure ]]; then return; fi
    if echo '#include <stdlib.h>' | "${CC:-cc}" -E -x c - >/dev/null 2>&1; then return; fi
    need_debian build-essential
}

# python_can CODE: true when the Python chosen can run it.
python_can() { "$PYTHON" -c "$1" >/dev/null 2>&1; }

# python_with_venv: set PYTHON to a Python >= 3.11 (the one PYTHON names, when it is set) that can
# make environments and has the headers to compile against (which a pure build does without).
python_with_venv() {
    local new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
    if [[ -z ${PYTHON:-} ]]; then
        local candidate
        for candidate in python3 python3.15 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
            PYTHON=$candidate
            if python_can "$new_enough"; then break; fi
        done
        if ! command -v "$PYTHON" >/dev/null; then need_debian python3; fi
    fi
    python_can "$new_enough" || fail "Python 3.11 or later is needed, PYTHON=... names one"
    PYTHON=$("$PYTHON" -c 'import sys; print(sys.executable)')
    local package
    package=$("$PYTHON" -c 'import sys
print("pypy3" if sys.implementation.name == "pypy" else "python%d.%d" % sys.version_info[:2])')
    python_needs "$package-venv" 'import ensurepip, venv'
    if [[ ${GODROPBOX_BUILD:-auto} == pure || $package == pypy3 ]]; then return; fi
    python_needs "$package-dev" 'import os, sysconfig
os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))'
}

# name_of_python: of the implementation, version and kind that PYTHON is, such as cpython-3.14t, for
# an environment of its own.
name_of_python() {
    "$PYTHON" -c 'import sys, sysconfig
print(sys.implementation.name, sysconfig.get_python_version(), sep="-", end="")
print("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")'
}

# python_needs PACKAGE CODE: get the package, for a Debian Python that cannot run the code.
python_needs() {
    if python_can "$2"; then return; fi
    case $PYTHON in
        /usr/bin/*) need_debian "$1" ;;
        *) fail "$PYTHON lacks what Debian calls $1; name another Python with PYTHON=..." ;;
    esac
    python_can "$2" || fail "$PYTHON lacks what $1 should have brought"
}

# make_env DIR REQUIREMENT...: have an environment of PYTHON with these installed. Made once: a
# stamp says what it holds, and another list or another Python makes it anew.
make_env() {
    local dir=$1 stamp
    shift
    stamp=$(stamp_of "$("$PYTHON" -VV)" "$PYTHON" "$dir" "$@")
    if is_stamped "$dir/.stamp" "$stamp"; then return; fi
    step "make $dir: $*"
    rm -rf "$dir"
    quietly "$PYTHON" -m venv "$dir" || fail "$PYTHON -m venv $dir failed"
    if (($#)); then
        quietly "$dir/bin/python" -m pip install --disable-pip-version-check "$@" ||
            fail "pip install failed in $dir: $*"
    fi
    echo "$stamp" >"$dir/.stamp"
}

# install_package DIR: have this tree installed there as a wheel.
install_package() {
    local dir=$1 stamp
    build_wheel "$dir"
    stamp=$(stamp_of "$(<build/wheel/.stamp)" "$(<"$dir/.stamp")")
    if is_stamped "$dir/.package" "$stamp"; then return; fi
    step "install godropbox in $dir"
    quietly "$dir/bin/python" -m pip install --disable-pip-version-check --force-reinstall \
        --no-deps build/wheel/*.whl || fail "pip install failed in $dir"
    echo "$stamp" >"$dir/.package"
}

# build_wheel DIR: have the wheel of this tree in build/wheel, by the Python of DIR; built again
# when a source, the requested build or the Python changed, and else shared by all environments.
build_wheel() {
    local stamp start=$SECONDS
    stamp=$(stamp_of "$(sources)" "${GODROPBOX_BUILD:-auto}" "${CC:-}" "${CFLAGS:-}" \
        "$("$PYTHON" -VV)" "$PYTHON")
    if is_stamped build/wheel/.stamp "$stamp"; then return; fi
    step "build godropbox"
    # A module that was deleted, or an object of other flags, must not come back.
    rm -rf build/wheel build/lib* build/bdist* build/temp*
    counting "$1/bin/python" -m pip wheel -v --disable-pip-version-check --no-deps \
        --wheel-dir build/wheel . || fail "pip wheel . failed"
    echo "$stamp" >build/wheel/.stamp
    step "build: done in $((SECONDS - start)) s"
}

# sources: the digests of what a wheel is made from.
sources() {
    find csrc godropbox setup.py pyproject.toml README.md LICENSE -type f \
        ! -name '*.pyc' ! -name '*.so' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}

stamp_of() { printf '%s\n' "$@" | sha256sum; }

is_stamped() { [[ -f $1 && $(<"$1") == "$2" ]]; }
