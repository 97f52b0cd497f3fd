# Functions for the tests with services of systemd.

# service NAME SETTING...: starts a service with a server that stays, and the tree to dump beside it.
service() {
    cat > /run/party <<'END'
#!/bin/bash
rm -f /tmp/ready /tmp/file.keep
ip link set lo up 2> /dev/null
python3 -c '
import socket
server = socket.create_server(("127.0.0.1", 7777))
while True:
    client, _ = server.accept()
    client.sendall(b"pong\n")
    client.close()' &
/project/target/workload/workload session deleted /tmp/file semaphore "$1" listen-connect 127.0.0.1:0 ready /tmp/ready \
    < /dev/null > /dev/null 2>&1 &
wait
sleep infinity
END
    chmod 755 /run/party
    printf '%s\n' '[Service]' "ExecStart=/run/party $1" "${@:2}" > "/run/systemd/system/$1.service"
    systemctl daemon-reload
    systemctl start "$1.service"
    until [ -e "/proc/$(main_of "$1")/root/tmp/ready" ] && [ "$(traffic "$1")" = pong ]; do sleep 0.1; done
}

# Ends a service, and takes away what its tree made where others see it.
end_service() {
    systemctl stop "$1.service"
    rm -rf "/srv/$1" /dev/shm/sem.* /tmp/ready /tmp/file.keep
}

# The service's first process, which stays.
main_of() { systemctl show --property MainPID --value "$1.service"; }

# The root of the tree in a service.
tree_of() {
    local pid
    while read -r pid; do
        [ "$(cat "/proc/$pid/comm")" != workload ] || echo "$pid"
    done < "/sys/fs/cgroup/system.slice/$1.service/cgroup.procs" | head -n 1
}

# Whether the server is reached from within the service's network.
traffic() {
    nsenter --target "$(main_of "$1")" --net timeout 2 bash -c 'read -r word < /dev/tcp/127.0.0.1/7777; echo "$word"' \
        2> /dev/null || echo none
}

# Dumps the tree of a service from outside, into a directory of its name.
dump_service() {
    dump "$2" "$(tree_of "$1")" "/srv/$1" --external 'mnt[]:sm' --enable-external-masters --enable-external-sharing \
        --manage-cgroups=ignore
}

# Runs something in the service's namespaces of mounts and of the network.
within() { nsenter --target "$(main_of "$1")" --mount --net "${@:2}"; }

# Dumps the tree by a CRIU that runs in the service's namespaces.
dump_within() {
    mkdir -p "/srv/$1"
    within "$1" "$targets/criu/$2/criu" dump --tree "$(tree_of "$1")" --images-dir "/srv/$1" --link-remap \
        --tcp-established -v4 --log-file dump.log --manage-cgroups=ignore
}
