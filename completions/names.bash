# SPDX-License-Identifier: Apache-2.0 OR MIT
# Completion of bash for criu-gc: the names of containers, such as podman:web, beside files and the options of the script that
# clap makes, if that was read before. Load it with: eval "$(criu-gc --complete)"

_criu_gc_names() {
    # Bash takes a colon for the end of a word. The whole word is what is left of the cursor.
    local line=${COMP_LINE:0:COMP_POINT}
    local word=${line##*[[:space:]]}
    local names
    mapfile -t names < <("$1" --complete "$word" 2>/dev/null)
    if [[ $word == *:* && ${#names[@]} -gt 0 ]]; then
        # It replaces only what is behind the last colon.
        local behind=${word##*:}
        COMPREPLY=("${names[@]#"${word%"$behind"}"}")
        return
    fi
    COMPREPLY=()
    if [[ $word == -* ]] && declare -F _criu-gc >/dev/null; then
        _criu-gc "$@"
        return
    fi
    if [[ -n $word && ${#names[@]} -gt 0 ]]; then
        COMPREPLY=("${names[@]}")
        compopt -o nospace
    fi
}
complete -o bashdefault -o default -F _criu_gc_names criu-gc
