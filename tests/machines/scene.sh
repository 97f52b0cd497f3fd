# Functions for the scripts that tests run in a machine.
set -euo pipefail
targets=/var/tests/target
gc=/project/criu-gc

# The program of a version of CRIU.
criu() { "$targets/criu/$1/criu" "${@:2}"; }

# Before Linux 5.13 CRIU cannot dump the registration for restartable sequences that glibc makes.
without_rseq_on_old_kernels() {
    if [ "$(printf '%s\n' "$(uname -r)" 5.13 | sort -V | head -n 1)" != 5.13 ]; then
        export GLIBC_TUNABLES=glibc.pthread.rseq=0
    fi
}

# Waits for a file and removes it.
await() {
    local attempts=0
    until [ -e "$1" ]; do
        sleep 0.05
        attempts=$((attempts + 1))
        [ "$attempts" -lt 400 ] || { echo "$1 does not appear" >&2; return 1; }
    done
    rm "$1"
}

# Starts the program to dump, with its directives, and prints the pid of its root, which is $first_pid if that is set.
start_tree() {
    local ready
    ready=$(mktemp -u /run/ready.XXXXXX)
    without_rseq_on_old_kernels
    [ -z "${first_pid:-}" ] || echo $((first_pid - 1)) > /proc/sys/kernel/ns_last_pid
    "$targets/workload/workload" session "$@" ready "$ready" < /dev/null > /dev/null 2>&1 &
    local tree=$!
    await "$ready"
    echo "$tree"
}

# start_container ROOT MOUNT... end session DIRECTIVE...: the same with mount and pid namespaces of its own, and with the
# new directory ROOT for its root directory.
start_container() {
    mkdir -p "$1"/{proc,dev,tmp}
    mknod -m 666 "$1/dev/null" c 1 3
    cp "$targets/workload/workload" "$1/workload"
    without_rseq_on_old_kernels
    local ready
    ready=$(mktemp -u ready.XXXXXX)
    unshare --pid --fork --mount --propagation private -- "$targets/workload/workload" enter "$@" ready "/$ready" \
        < /dev/null > /dev/null 2>&1 &
    local launcher=$!
    await "$1/$ready"
    tr -d ' ' < "/proc/$launcher/task/$launcher/children"
}

# dump VERSION TREE IMAGES OPTION...: a dump with link remaps and connections, after which the tree is gone.
dump() {
    mkdir -p "$3"
    criu "$1" dump --tree "$2" --images-dir "$3" --link-remap --tcp-established -v4 --log-file dump.log "${@:4}" ||
        { tail -n 20 "$3/dump.log" >&2; return 1; }
}

# with_pid PID COMMAND...: starts a process with this pid, which must be free.
with_pid() {
    echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid
    "${@:2}" < /dev/null > /dev/null 2>&1 &
    [ "$!" = "$1" ]
}

# The device of the disk with this serial number.
disk() {
    local block
    for block in /sys/block/vd*; do
        [ "$(cat "$block/serial")" != "$1" ] || echo "/dev/${block##*/}"
    done
}

# How many links of dumps a directory has, apart from the user's own link_remap.77.
links() { find "$1" -maxdepth 1 -name 'link_remap.*' ! -name link_remap.77 2> /dev/null | wc -l; }

# Makes a directory, and in it files of a user of the type, mode and size of those that the trees of the tests lose:
# one with the name of a link remap. Their checksums are noted for `innocent`.
with_innocents() {
    local file
    mkdir -p "$1/directory"
    for file in "$1/link_remap.77" "$1/user" "$1/directory/link_remap.1"; do
        printf '%-40s\n' "the user's own ${file##*/}" > "$file"
        chmod 640 "$file"
        sha256sum "$file" >> /root/innocents
    done
}

# Fails unless all files of `with_innocents` are as they were.
innocent() { sha256sum --check --quiet --strict /root/innocents; }

# start_many DIRECTORY NUMBER: a tree with this many deleted files in DIRECTORY, each with a content of its own, and a
# connection. The checksums of the contents are noted in DIRECTORY.sums.
start_many() {
    local words=() number tree
    for number in $(seq "$2"); do
        words+=(deleted "$1/file$number")
    done
    tree=$(start_tree "${words[@]}" listen-connect 127.0.0.1:0)
    for number in $(seq "$2"); do
        printf '%-40s\n' "file $number" > "$1/file$number.keep"
    done
    contents "$1"/*.keep > "$1.sums"
    echo "$tree"
}

# The checksums of the contents of files, in order, each once.
contents() { sha256sum -- "$@" | cut -d ' ' -f 1 | sort -u; }

# Runs criu-gc and prints its exit status as the last line.
judge() {
    local status=0
    "$gc" "$@" 2>&1 || status=$?
    echo "status $status"
}
