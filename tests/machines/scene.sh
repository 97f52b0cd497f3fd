# Functions for the scripts that tests run in a machine.
set -euo pipefail
targets=/var/tests/target
gc=/project/criu-gc

# The program of a version of CRIU.
criu() { "$targets/criu/$1/criu" "${@:2}"; }

# Starts the program to dump, with its directives, and prints the pid of its root.
start_tree() {
    local ready
    ready=$(mktemp -u /run/ready.XXXXXX)
    if [ "$(printf '%s\n' "$(uname -r)" 5.13 | sort -V | head -n 1)" != 5.13 ]; then
        export GLIBC_TUNABLES=glibc.pthread.rseq=0
    fi
    "$targets/workload/workload" session "$@" ready "$ready" < /dev/null > /dev/null 2>&1 &
    local tree=$!
    await "$ready"
    echo "$tree"
}

# start_container ROOT MOUNT... end DIRECTIVE...: the same with pid and mount namespaces of its own.
start_container() {
    mkdir -p "$1"/{dev,proc,tmp}
    cp "$targets/workload/workload" "$1"
    mknod "$1/dev/null" c 1 3
    local ready
    ready=$(mktemp -u ready.XXXXXX)
    unshare --pid --fork --mount --propagation private -- "$targets/workload/workload" enter "$@" ready "/$ready" \
        < /dev/null > /dev/null 2>&1 &
    local parent=$!
    await "$1/$ready"
    tr -d ' ' < "/proc/$parent/task/$parent/children"
}

# Waits for the file by which a tree says that it is ready.
await() {
    local attempts=0
    until [ -e "$1" ]; do
        sleep 0.05
        attempts=$((attempts + 1))
        [ "$attempts" -lt 400 ] || { echo "the tree is not ready" >&2; return 1; }
    done
    rm "$1"
}

# dump VERSION TREE IMAGES OPTION...: a dump with link remaps and connections, after which the tree is gone.
dump() {
    mkdir -p "$3"
    criu "$1" dump --tree "$2" --images-dir "$3" --link-remap --tcp-established -v4 --log-file dump.log "${@:4}" ||
        { tail -n 20 "$3/dump.log" >&2; return 1; }
}
