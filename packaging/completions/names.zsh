# Files, and the names of containers, such as docker:web, which criu-gc finds in the files of their engines.
(( $+functions[_criu_gc_named] )) ||
_criu_gc_named() {
    local -a names
    names=(${(f)"$(_call_program names criu-gc --complete ${(q)PREFIX} 2>/dev/null)"})
    # A prefix is no whole word yet.
    compadd -S '' -- ${(M)names:#*:}
    compadd -- ${names:#*:}
    _files
}

