# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_criu_gc_global_optspecs
    string join \n D/images-dir= n/show exit-code host y/yes kill save= from-log dump-log= netns= pid= peek-offsets unmap json v/verbose o/log-file= W/work-dir= r/root= external= M/ext-mount-map= inherit-fd= J/join-ns= network-lock= config= no-default-config V/version allow= only= h/help
end

function __fish_criu_gc_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_criu_gc_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_criu_gc_using_subcommand
    set -l cmd (__fish_criu_gc_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c criu-gc -n "__fish_criu_gc_needs_command" -s D -l images-dir -d 'The checkpoint, which may be given several times: an images directory, a runtime\'s checkpoint directory, an archive of either (tar, tar.gz, tar.zst, a container image), a directory of these, - for an archive on standard input, a container as podman:NAME, docker:NAME, cri:ID, ctr:ID, lxc:NAME, incus:NAME, runc:ID or k8s:POD, or the stored record of a dump whose images are gone' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l save -d 'Save the file of each link remap in this directory before removing the link, as a hard link if possible, otherwise as a copy' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l dump-log -d 'The log of the dump, if it is in neither the images nor the work directory' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l netns -d 'A network namespace that the dump locked, as a path or by its name in ip netns; without a checkpoint, one to ask about; may be given several times' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l pid -d 'After the word heal, a process that is healed together with its descendants; without a word and a checkpoint, a process to ask about; may be given several times' -r
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s o -l log-file -d 'Write messages to this file instead of standard error, or to standard output for -; a relative path starts at the work directory, or at the current directory for an archive' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s W -l work-dir -d 'The directory with CRIU\'s log and statistics [default: the images directory]' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s r -l root -d 'The root directory of the dumped tree on this host' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l external -d 'The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH; other kinds have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s M -l ext-mount-map -d 'Same as --external mnt[KEY]:PATH' -r
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l inherit-fd -d 'An open file that is the external network namespace of this key, fd[NUMBER]:KEY; others have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s J -l join-ns -d 'Same as --netns PATH for net:PATH; other namespaces have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l network-lock -d 'How the dump locked the network, which has no effect: criu-gc reads it from the images' -r -f -a "iptables\t''
nftables\t''
skip\t''
none\t''"
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l config -d 'Read these options from a CRIU configuration file, which may contain every option of criu restore' -r -F
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l allow -d 'Ignore this reason for keeping an object; may be given several times, or as a list with commas' -r -f -a "tree-alive\t''
tree-unknown\t''
unknown-version\t''
other-type\t''
other-mode\t''
other-size\t''
foreign-images\t''
not-recorded\t''
older-than-dump\t''
unmarked\t''
changed-since\t''
restored-since\t''
newer-dump\t''
foreign-content\t''
shared-lock\t''"
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l only -d 'Show and remove only one part of what the dump left, network (rules, tables and chains) or files (link remaps and ghost files); the other part stays, and does not count for the exit status' -r -f -a "network\t''
files\t''"
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s n -l show -d 'List what is left, what would happen to it and why, and remove nothing (also --dry-run)'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l exit-code -d 'With --show, exit with status 1 if anything is left'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1, where all paths are paths on the host'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l kill -d 'Kill the processes that a killed restore left, which never run again; without this they stay, and so does what depends on their end'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l from-log -d 'Also remove link remaps of an interrupted dump to which only its log leads, and the open files of the tree or another name of the file'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l peek-offsets -d 'After the word heal, also set SO_PEEK_OFF to -1 where it is 0, which a program may have set itself'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l unmap -d 'After the word heal, also unmap the memory that a killed dump left in the processes, which harms nothing'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s v -l verbose -d 'Print more: -v shows the image entries behind each object, -vv also where criu-gc looked; -vN takes CRIU\'s levels, of which 3 is -v and 4 is -vv'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -l no-default-config -d 'Do not read CRIU\'s default configuration files, which criu-gc never does'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s V -l version -d 'Print the version'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "gc" -d 'Remove what the dump left'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "clean" -d 'Remove what the dump left'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "show" -d 'List what the dump left, and change nothing'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "restorable" -d 'Undo what a killed restore left'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "heal" -d 'Give processes back what a killed dump took'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "scan" -d 'List everything of CRIU\'s shape on this host, whose it is, and what to type'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "rm" -d 'Remove objects by the ids and paths that criu-gc scan prints'
complete -c criu-gc -n "__fish_criu_gc_needs_command" -a "watch" -d 'Scan this host again and again, and print what appears, what goes and what could not be looked at, as JSON lines'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s D -l images-dir -d 'The checkpoint, which may be given several times: an images directory, a runtime\'s checkpoint directory, an archive of either (tar, tar.gz, tar.zst, a container image), a directory of these, - for an archive on standard input, a container as podman:NAME, docker:NAME, cri:ID, ctr:ID, lxc:NAME, incus:NAME, runc:ID or k8s:POD, or the stored record of a dump whose images are gone' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l save -d 'Save the file of each link remap in this directory before removing the link, as a hard link if possible, otherwise as a copy' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l dump-log -d 'The log of the dump, if it is in neither the images nor the work directory' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l netns -d 'A network namespace that the dump locked, as a path or by its name in ip netns; without a checkpoint, one to ask about; may be given several times' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l pid -d 'After the word heal, a process that is healed together with its descendants; without a word and a checkpoint, a process to ask about; may be given several times' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s o -l log-file -d 'Write messages to this file instead of standard error, or to standard output for -; a relative path starts at the work directory, or at the current directory for an archive' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s W -l work-dir -d 'The directory with CRIU\'s log and statistics [default: the images directory]' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s r -l root -d 'The root directory of the dumped tree on this host' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l external -d 'The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH; other kinds have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s M -l ext-mount-map -d 'Same as --external mnt[KEY]:PATH' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l inherit-fd -d 'An open file that is the external network namespace of this key, fd[NUMBER]:KEY; others have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s J -l join-ns -d 'Same as --netns PATH for net:PATH; other namespaces have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l network-lock -d 'How the dump locked the network, which has no effect: criu-gc reads it from the images' -r -f -a "iptables\t''
nftables\t''
skip\t''
none\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l config -d 'Read these options from a CRIU configuration file, which may contain every option of criu restore' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l allow -d 'Ignore this reason for keeping an object; may be given several times, or as a list with commas' -r -f -a "tree-alive\t''
tree-unknown\t''
unknown-version\t''
other-type\t''
other-mode\t''
other-size\t''
foreign-images\t''
not-recorded\t''
older-than-dump\t''
unmarked\t''
changed-since\t''
restored-since\t''
newer-dump\t''
foreign-content\t''
shared-lock\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l only -d 'Show and remove only one part of what the dump left, network (rules, tables and chains) or files (link remaps and ghost files); the other part stays, and does not count for the exit status' -r -f -a "network\t''
files\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s n -l show -d 'List what is left, what would happen to it and why, and remove nothing (also --dry-run)'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l exit-code -d 'With --show, exit with status 1 if anything is left'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1, where all paths are paths on the host'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l kill -d 'Kill the processes that a killed restore left, which never run again; without this they stay, and so does what depends on their end'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l from-log -d 'Also remove link remaps of an interrupted dump to which only its log leads, and the open files of the tree or another name of the file'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l peek-offsets -d 'After the word heal, also set SO_PEEK_OFF to -1 where it is 0, which a program may have set itself'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l unmap -d 'After the word heal, also unmap the memory that a killed dump left in the processes, which harms nothing'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s v -l verbose -d 'Print more: -v shows the image entries behind each object, -vv also where criu-gc looked; -vN takes CRIU\'s levels, of which 3 is -v and 4 is -vv'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -l no-default-config -d 'Do not read CRIU\'s default configuration files, which criu-gc never does'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s V -l version -d 'Print the version'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s D -l images-dir -d 'The checkpoint, which may be given several times: an images directory, a runtime\'s checkpoint directory, an archive of either (tar, tar.gz, tar.zst, a container image), a directory of these, - for an archive on standard input, a container as podman:NAME, docker:NAME, cri:ID, ctr:ID, lxc:NAME, incus:NAME, runc:ID or k8s:POD, or the stored record of a dump whose images are gone' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l save -d 'Save the file of each link remap in this directory before removing the link, as a hard link if possible, otherwise as a copy' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l dump-log -d 'The log of the dump, if it is in neither the images nor the work directory' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l netns -d 'A network namespace that the dump locked, as a path or by its name in ip netns; without a checkpoint, one to ask about; may be given several times' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l pid -d 'After the word heal, a process that is healed together with its descendants; without a word and a checkpoint, a process to ask about; may be given several times' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s o -l log-file -d 'Write messages to this file instead of standard error, or to standard output for -; a relative path starts at the work directory, or at the current directory for an archive' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s W -l work-dir -d 'The directory with CRIU\'s log and statistics [default: the images directory]' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s r -l root -d 'The root directory of the dumped tree on this host' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l external -d 'The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH; other kinds have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s M -l ext-mount-map -d 'Same as --external mnt[KEY]:PATH' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l inherit-fd -d 'An open file that is the external network namespace of this key, fd[NUMBER]:KEY; others have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s J -l join-ns -d 'Same as --netns PATH for net:PATH; other namespaces have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l network-lock -d 'How the dump locked the network, which has no effect: criu-gc reads it from the images' -r -f -a "iptables\t''
nftables\t''
skip\t''
none\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l config -d 'Read these options from a CRIU configuration file, which may contain every option of criu restore' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l allow -d 'Ignore this reason for keeping an object; may be given several times, or as a list with commas' -r -f -a "tree-alive\t''
tree-unknown\t''
unknown-version\t''
other-type\t''
other-mode\t''
other-size\t''
foreign-images\t''
not-recorded\t''
older-than-dump\t''
unmarked\t''
changed-since\t''
restored-since\t''
newer-dump\t''
foreign-content\t''
shared-lock\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l only -d 'Show and remove only one part of what the dump left, network (rules, tables and chains) or files (link remaps and ghost files); the other part stays, and does not count for the exit status' -r -f -a "network\t''
files\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s n -l show -d 'List what is left, what would happen to it and why, and remove nothing (also --dry-run)'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l exit-code -d 'With --show, exit with status 1 if anything is left'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1, where all paths are paths on the host'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l kill -d 'Kill the processes that a killed restore left, which never run again; without this they stay, and so does what depends on their end'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l from-log -d 'Also remove link remaps of an interrupted dump to which only its log leads, and the open files of the tree or another name of the file'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l peek-offsets -d 'After the word heal, also set SO_PEEK_OFF to -1 where it is 0, which a program may have set itself'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l unmap -d 'After the word heal, also unmap the memory that a killed dump left in the processes, which harms nothing'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s v -l verbose -d 'Print more: -v shows the image entries behind each object, -vv also where criu-gc looked; -vN takes CRIU\'s levels, of which 3 is -v and 4 is -vv'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -l no-default-config -d 'Do not read CRIU\'s default configuration files, which criu-gc never does'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s V -l version -d 'Print the version'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand clean" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s D -l images-dir -d 'The checkpoint, which may be given several times: an images directory, a runtime\'s checkpoint directory, an archive of either (tar, tar.gz, tar.zst, a container image), a directory of these, - for an archive on standard input, a container as podman:NAME, docker:NAME, cri:ID, ctr:ID, lxc:NAME, incus:NAME, runc:ID or k8s:POD, or the stored record of a dump whose images are gone' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l save -d 'Save the file of each link remap in this directory before removing the link, as a hard link if possible, otherwise as a copy' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l dump-log -d 'The log of the dump, if it is in neither the images nor the work directory' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l netns -d 'A network namespace that the dump locked, as a path or by its name in ip netns; without a checkpoint, one to ask about; may be given several times' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l pid -d 'After the word heal, a process that is healed together with its descendants; without a word and a checkpoint, a process to ask about; may be given several times' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s o -l log-file -d 'Write messages to this file instead of standard error, or to standard output for -; a relative path starts at the work directory, or at the current directory for an archive' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s W -l work-dir -d 'The directory with CRIU\'s log and statistics [default: the images directory]' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s r -l root -d 'The root directory of the dumped tree on this host' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l external -d 'The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH; other kinds have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s M -l ext-mount-map -d 'Same as --external mnt[KEY]:PATH' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l inherit-fd -d 'An open file that is the external network namespace of this key, fd[NUMBER]:KEY; others have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s J -l join-ns -d 'Same as --netns PATH for net:PATH; other namespaces have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l network-lock -d 'How the dump locked the network, which has no effect: criu-gc reads it from the images' -r -f -a "iptables\t''
nftables\t''
skip\t''
none\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l config -d 'Read these options from a CRIU configuration file, which may contain every option of criu restore' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l allow -d 'Ignore this reason for keeping an object; may be given several times, or as a list with commas' -r -f -a "tree-alive\t''
tree-unknown\t''
unknown-version\t''
other-type\t''
other-mode\t''
other-size\t''
foreign-images\t''
not-recorded\t''
older-than-dump\t''
unmarked\t''
changed-since\t''
restored-since\t''
newer-dump\t''
foreign-content\t''
shared-lock\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l only -d 'Show and remove only one part of what the dump left, network (rules, tables and chains) or files (link remaps and ghost files); the other part stays, and does not count for the exit status' -r -f -a "network\t''
files\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s n -l show -d 'List what is left, what would happen to it and why, and remove nothing (also --dry-run)'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l exit-code -d 'With --show, exit with status 1 if anything is left'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1, where all paths are paths on the host'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l kill -d 'Kill the processes that a killed restore left, which never run again; without this they stay, and so does what depends on their end'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l from-log -d 'Also remove link remaps of an interrupted dump to which only its log leads, and the open files of the tree or another name of the file'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l peek-offsets -d 'After the word heal, also set SO_PEEK_OFF to -1 where it is 0, which a program may have set itself'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l unmap -d 'After the word heal, also unmap the memory that a killed dump left in the processes, which harms nothing'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s v -l verbose -d 'Print more: -v shows the image entries behind each object, -vv also where criu-gc looked; -vN takes CRIU\'s levels, of which 3 is -v and 4 is -vv'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -l no-default-config -d 'Do not read CRIU\'s default configuration files, which criu-gc never does'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s V -l version -d 'Print the version'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s D -l images-dir -d 'The checkpoint, which may be given several times: an images directory, a runtime\'s checkpoint directory, an archive of either (tar, tar.gz, tar.zst, a container image), a directory of these, - for an archive on standard input, a container as podman:NAME, docker:NAME, cri:ID, ctr:ID, lxc:NAME, incus:NAME, runc:ID or k8s:POD, or the stored record of a dump whose images are gone' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l save -d 'Save the file of each link remap in this directory before removing the link, as a hard link if possible, otherwise as a copy' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l dump-log -d 'The log of the dump, if it is in neither the images nor the work directory' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l netns -d 'A network namespace that the dump locked, as a path or by its name in ip netns; without a checkpoint, one to ask about; may be given several times' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l pid -d 'After the word heal, a process that is healed together with its descendants; without a word and a checkpoint, a process to ask about; may be given several times' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s o -l log-file -d 'Write messages to this file instead of standard error, or to standard output for -; a relative path starts at the work directory, or at the current directory for an archive' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s W -l work-dir -d 'The directory with CRIU\'s log and statistics [default: the images directory]' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s r -l root -d 'The root directory of the dumped tree on this host' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l external -d 'The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH; other kinds have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s M -l ext-mount-map -d 'Same as --external mnt[KEY]:PATH' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l inherit-fd -d 'An open file that is the external network namespace of this key, fd[NUMBER]:KEY; others have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s J -l join-ns -d 'Same as --netns PATH for net:PATH; other namespaces have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l network-lock -d 'How the dump locked the network, which has no effect: criu-gc reads it from the images' -r -f -a "iptables\t''
nftables\t''
skip\t''
none\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l config -d 'Read these options from a CRIU configuration file, which may contain every option of criu restore' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l allow -d 'Ignore this reason for keeping an object; may be given several times, or as a list with commas' -r -f -a "tree-alive\t''
tree-unknown\t''
unknown-version\t''
other-type\t''
other-mode\t''
other-size\t''
foreign-images\t''
not-recorded\t''
older-than-dump\t''
unmarked\t''
changed-since\t''
restored-since\t''
newer-dump\t''
foreign-content\t''
shared-lock\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l only -d 'Show and remove only one part of what the dump left, network (rules, tables and chains) or files (link remaps and ghost files); the other part stays, and does not count for the exit status' -r -f -a "network\t''
files\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s n -l show -d 'List what is left, what would happen to it and why, and remove nothing (also --dry-run)'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l exit-code -d 'With --show, exit with status 1 if anything is left'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1, where all paths are paths on the host'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l kill -d 'Kill the processes that a killed restore left, which never run again; without this they stay, and so does what depends on their end'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l from-log -d 'Also remove link remaps of an interrupted dump to which only its log leads, and the open files of the tree or another name of the file'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l peek-offsets -d 'After the word heal, also set SO_PEEK_OFF to -1 where it is 0, which a program may have set itself'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l unmap -d 'After the word heal, also unmap the memory that a killed dump left in the processes, which harms nothing'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s v -l verbose -d 'Print more: -v shows the image entries behind each object, -vv also where criu-gc looked; -vN takes CRIU\'s levels, of which 3 is -v and 4 is -vv'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -l no-default-config -d 'Do not read CRIU\'s default configuration files, which criu-gc never does'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s V -l version -d 'Print the version'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand restorable" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s D -l images-dir -d 'The checkpoint, which may be given several times: an images directory, a runtime\'s checkpoint directory, an archive of either (tar, tar.gz, tar.zst, a container image), a directory of these, - for an archive on standard input, a container as podman:NAME, docker:NAME, cri:ID, ctr:ID, lxc:NAME, incus:NAME, runc:ID or k8s:POD, or the stored record of a dump whose images are gone' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l save -d 'Save the file of each link remap in this directory before removing the link, as a hard link if possible, otherwise as a copy' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l dump-log -d 'The log of the dump, if it is in neither the images nor the work directory' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l netns -d 'A network namespace that the dump locked, as a path or by its name in ip netns; without a checkpoint, one to ask about; may be given several times' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l pid -d 'After the word heal, a process that is healed together with its descendants; without a word and a checkpoint, a process to ask about; may be given several times' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s o -l log-file -d 'Write messages to this file instead of standard error, or to standard output for -; a relative path starts at the work directory, or at the current directory for an archive' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s W -l work-dir -d 'The directory with CRIU\'s log and statistics [default: the images directory]' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s r -l root -d 'The root directory of the dumped tree on this host' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l external -d 'The location of an external mount or network namespace on this host: mnt[KEY]:PATH or net[KEY]:PATH; other kinds have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s M -l ext-mount-map -d 'Same as --external mnt[KEY]:PATH' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l inherit-fd -d 'An open file that is the external network namespace of this key, fd[NUMBER]:KEY; others have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s J -l join-ns -d 'Same as --netns PATH for net:PATH; other namespaces have no effect' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l network-lock -d 'How the dump locked the network, which has no effect: criu-gc reads it from the images' -r -f -a "iptables\t''
nftables\t''
skip\t''
none\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l config -d 'Read these options from a CRIU configuration file, which may contain every option of criu restore' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l allow -d 'Ignore this reason for keeping an object; may be given several times, or as a list with commas' -r -f -a "tree-alive\t''
tree-unknown\t''
unknown-version\t''
other-type\t''
other-mode\t''
other-size\t''
foreign-images\t''
not-recorded\t''
older-than-dump\t''
unmarked\t''
changed-since\t''
restored-since\t''
newer-dump\t''
foreign-content\t''
shared-lock\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l only -d 'Show and remove only one part of what the dump left, network (rules, tables and chains) or files (link remaps and ghost files); the other part stays, and does not count for the exit status' -r -f -a "network\t''
files\t''"
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s n -l show -d 'List what is left, what would happen to it and why, and remove nothing (also --dry-run)'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l exit-code -d 'With --show, exit with status 1 if anything is left'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1, where all paths are paths on the host'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l kill -d 'Kill the processes that a killed restore left, which never run again; without this they stay, and so does what depends on their end'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l from-log -d 'Also remove link remaps of an interrupted dump to which only its log leads, and the open files of the tree or another name of the file'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l peek-offsets -d 'After the word heal, also set SO_PEEK_OFF to -1 where it is 0, which a program may have set itself'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l unmap -d 'After the word heal, also unmap the memory that a killed dump left in the processes, which harms nothing'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s v -l verbose -d 'Print more: -v shows the image entries behind each object, -vv also where criu-gc looked; -vN takes CRIU\'s levels, of which 3 is -v and 4 is -vv'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -l no-default-config -d 'Do not read CRIU\'s default configuration files, which criu-gc never does'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s V -l version -d 'Print the version'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand heal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l walk -d 'Also look at all names in these directories and below, on one filesystem each' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l images -d 'Also look for images in these directories and below, to find out whose an object is' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l timeout -d 'How many seconds the look may take; what was not reached is not known' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l metrics -d 'Write the counts to this file for the textfile collector of Prometheus\' node_exporter' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l clean -d 'Remove what a crash left and no restore needs: temporary directories and mounts, the unfinished cache'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l kill -d 'With --clean, kill the processes that a killed dump or restore left, which never run again'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -s n -l show -d 'With --clean, list what would be removed, and remove nothing'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l exit-code -d 'Exit with status 1 if something needs a hand or could not be looked at'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l summary -d 'Print one line of at most 80 characters'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l tree -d 'Draw a tree of checkpoints, network namespaces and objects'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -s v -l verbose -d 'Also list what only looks like something of CRIU'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -l save -d 'Save the file of each name in this directory first' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -l images -d 'Also look for images in these directories and below, to find out whose an object is' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -l timeout -d 'How many seconds the look may take' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -l kill -d 'Kill processes that are named'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -s n -l show -d 'List what would be removed, and remove nothing'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -s y -l yes -d 'Do not ask for confirmation'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -l json -d 'Print one JSON document instead of text'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -l host -d 'In a container with --pid=host, work in the mount and network namespaces of the host\'s process 1'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand rm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l every -d 'The time from the start of one pass to that of the next, such as 30s, 5m or 1h' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l metrics -d 'Write the counts of each pass to this file for the textfile collector of Prometheus\' node_exporter' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l listen -d 'Answer requests for /metrics at this address and port, such as 0.0.0.0:9935; status 503 until a pass has ended' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l walk -d 'Also look at all names in these directories and below, on one filesystem each' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l images -d 'Also look for images in these directories and below, to find out whose an object is' -r -F
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l timeout -d 'How many seconds a look may take; what was not reached is not known, and a pass that hangs is killed' -r
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l clean -d 'Remove what a crash left and no restore needs: temporary directories and mounts, the unfinished cache'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l kill -d 'With --clean, kill the processes that a killed dump or restore left, which never run again'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -l host -d 'In a container with --pid=host, look in the mount and network namespaces of the host\'s process 1'
complete -c criu-gc -n "__fish_criu_gc_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'

# The names of containers, such as docker:web, which criu-gc finds in the files of their engines.
complete -c criu-gc -n 'not string match -q -- "-*" (commandline -ct)' -a '(criu-gc --complete (commandline -ct) 2>/dev/null)'
