# Functions for the scripts of a machine that mounts its own exports.

# serve OPTION: starts the server, with root_squash or no_root_squash.
serve() {
    mkdir -p /srv/export /mnt/three /mnt/four /run/rpcbind
    mount -t nfsd nfsd /proc/fs/nfsd
    rpcbind
    export_with "$1"
    rpc.nfsd 2
    rpc.mountd
    # What the server deletes by itself the client has to see at once.
    mount -t nfs -o vers=3,nolock,actimeo=0 127.0.0.1:/srv/export /mnt/three
    mount -t nfs -o vers=4.2,actimeo=0 127.0.0.1:/srv/export /mnt/four
}

export_with() {
    echo "/srv/export 127.0.0.1(rw,no_subtree_check,fsid=1,$1)" > /etc/exports
    exportfs -ra
}

# make_files DIRECTORY...: makes a file in each of these directories of the export, with a second name.
make_files() {
    local directory
    for directory in "$@"; do
        mkdir "/srv/export/$directory"
        echo content > "/srv/export/$directory/file"
        ln "/srv/export/$directory/file" "/srv/export/$directory/file.keep"
    done
}

# Runs criu-gc for at most 20 s and prints on the last line how many milliseconds it took.
timed() {
    local start status=0
    start=$(date +%s%3N)
    timeout --signal KILL 20 "$gc" "$@" || status=$?
    [ "$status" != 137 ] || echo "criu-gc hangs"
    echo $(($(date +%s%3N) - start))
}
