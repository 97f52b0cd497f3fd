# The names of containers, such as docker:web, which criu-gc finds in the files of their engines.
complete -c criu-gc -n 'not string match -q -- "-*" (commandline -ct)' -a '(criu-gc --complete (commandline -ct) 2>/dev/null)'
