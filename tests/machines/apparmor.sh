# Functions for the tests with AppArmor policies.
policies=/sys/kernel/security/apparmor/policy/namespaces

# Makes the policy namespace `box` with the profile `guard`, which keeps a file from those that it confines. The profile
# is loaded as a container loads it: it does not name the namespace.
load_policy() {
    mkdir -p "$policies/box"
    printf 'profile guard {\n    file,\n    network,\n    unix,\n    signal,\n    deny /srv/secret r,\n}\n' > /run/guard
    apparmor_parser --stdout --skip-cache /run/guard > /run/guard.policy
    dd bs=1M status=none if=/run/guard.policy of="$policies/box/.replace"
    echo hidden > /srv/secret
}

# Becomes a program under the profile, or with what `label` asks the kernel for.
confined() {
    echo -n "${label:-exec :box://guard}" > /proc/self/attr/exec
    exec "$@"
}

# Whether the profile does what it says.
policy() {
    if (confined cat /srv/secret) > /dev/null 2>&1; then echo suspended; else echo enforced; fi
}

# Starts the program to dump under the profile, and prints the pid of its root.
start_confined() {
    local ready=/run/confined
    confined "$targets/workload/workload" session "$@" ready "$ready" < /dev/null > /dev/null 2>&1 &
    local tree=$!
    until [ -e "$ready" ]; do sleep 0.05; done
    rm "$ready"
    echo "$tree"
}

# An action script that kills CRIU at this action.
killer() {
    printf '#!/bin/bash\n[ "$CRTOOLS_SCRIPT_ACTION" != %s ] || kill -9 "$PPID"\n' "$1" > /run/killer
    chmod 755 /run/killer
    echo /run/killer
}
