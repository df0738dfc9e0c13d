# shellcheck shell=bash
# A Debian root in a folder: laid by debootstrap, mounted, entered, unmounted. Sourced after
# setup.sh, it only defines functions. Network, processes and devices are the machine's own; no
# other file of the machine is written, and no service starts by itself.

# lay_root SUITE ROOT PACKAGE...: the root, with what this machine is told about apt, pip, npm and
# certificates; mounted.
lay_root() {
    local suite=$1 root=$2 file packages
    shift 2
    packages=$(IFS=, && echo "$*")
    step "debootstrap $suite in $root"
    quietly debootstrap --variant=minbase --include="$packages" "$suite" "$root" ||
        fail "debootstrap failed"
    mount_root "$root"
    for file in /etc/resolv.conf /etc/hosts /etc/apt/apt.conf.d /etc/pip.conf \
        ~root/.config/pip ~root/.pip ~root/.npmrc /etc/ssl/certs /usr/local/share/ca-certificates; do
        if [[ ! -e $file ]]; then continue; fi
        # First remove what is there: its links would lead out of the root.
        rm -rf "$root$file"
        mkdir -p "$root${file%/*}"
        cp -rL "$file" "$root$file" || step "not all of $file could be copied"
    done
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
}

# mount_root ROOT: give it /proc and a /dev of its own. It becomes a mount itself, which `ip netns`
# needs, and so that what is mounted in it goes with it.
mount_root() {
    local root=$1 file
    mount --bind "$root" "$root"
    mount --make-private "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    mkdir "$root/dev/shm" "$root/dev/pts"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666 pts "$root/dev/pts"
    for file in null zero full random urandom tty; do cp -a "/dev/$file" "$root/dev/"; done
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s pts/ptmx "$root/dev/ptmx"
}

# unmount_root ROOT: the reverse; what is not mounted is left alone.
unmount_root() {
    while mountpoint -q "$1"; do umount -R "$1" || return; done
}

# remove_root ROOT: unmount, then remove; never a file of another file system.
remove_root() { unmount_root "$1" && rm -rf --one-file-system "$1"; }

# inside ROOT FOLDER COMMAND...: run it there, with nothing of this environment but how to reach
# the network.
inside() {
    local root=$1 folder=$2 kept
    shift 2
    mapfile -t kept < <(env | grep -iE '^(https?_proxy|no_proxy|(PIP|NPM_CONFIG)_[A-Z_]+|(SSL|REQUESTS|CURL|NODE)_[A-Z_]*CERT[A-Z_]*|CURL_CA_BUNDLE)=')
    # shellcheck disable=SC2016  # the shell in there expands them
    chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${kept[@]}" \
        sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
}
