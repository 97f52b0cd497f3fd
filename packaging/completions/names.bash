# The names of containers, such as docker:web, which criu-gc finds in the files of their engines.
_criu_gc_names() {
    # Bash takes a colon for the end of a word. The whole word is what is left of the cursor.
    local line=${COMP_LINE:0:COMP_POINT}
    local word=${line##*[[:space:]]}
    local names=()
    [[ -n $word && $word != -* ]] && mapfile -t names < <("$1" --complete "$word" 2>/dev/null)
    if [[ $word == *:* && ${#names[@]} -gt 0 ]]; then
        # Bash replaces only what is behind the last colon.
        local behind=${word##*:}
        COMPREPLY=("${names[@]#"${word%"$behind"}"}")
        return
    fi
    _criu__gc "$@"
    COMPREPLY+=("${names[@]}")
    # A prefix is no whole word yet.
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace
    return 0
}
complete -o bashdefault -o default -F _criu_gc_names criu-gc
