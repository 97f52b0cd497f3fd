// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a part of the kernel is loaded. Asking the part itself would load its module.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// A function of nf_tables. Its symbol shows that nf_tables is built into the kernel (`net/netfilter/nf_tables_api.c`).
const FUNCTION: &str = "nf_tables_newtable";

/// Whether nf_tables is built in or loaded.
pub fn has_nf_tables() -> bool {
    static IS_LOADED: AtomicBool = AtomicBool::new(false);
    static IS_BUILT_IN: OnceLock<bool> = OnceLock::new();
    if IS_LOADED.load(Ordering::Relaxed) {
        return true;
    }
    // Without modules a kernel loads none.
    let Ok(modules) = fs::read_to_string("/proc/modules") else { return true };
    if is_loaded(&modules, "nf_tables") {
        IS_LOADED.store(true, Ordering::Relaxed);
        return true;
    }
    // Where that cannot be read, to ask is the lesser evil: what is there must not be called gone.
    *IS_BUILT_IN.get_or_init(|| File::open("/proc/kallsyms").map_or(true, |file| has_symbol(BufReader::new(file))))
}

/// Whether `/proc/modules` has a module, which is in use or comes to life.
fn is_loaded(modules: &str, name: &str) -> bool {
    modules.lines().any(|line| line.split(' ').next() == Some(name))
}

/// Whether `/proc/kallsyms` has the function, and not in a module. Its names show without any privilege.
fn has_symbol(symbols: impl BufRead) -> bool {
    let mut lines = symbols.split(b'\n').map_while(Result::ok).peekable();
    lines.peek().is_none() || lines.any(|line| line.split(|byte| *byte == b' ').nth(2) == Some(FUNCTION.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_listed_by_its_whole_name() {
        let modules = "nft_compat 20480 0 - Live 0x0\nnf_tables 335872 1 nft_compat, Live 0x0\n";
        assert!(is_loaded(modules, "nf_tables") && !is_loaded("nf_tables_set 1 0 - Live 0x0\n", "nf_tables"));
        assert!(!is_loaded("nft_compat 20480 0 nf_tables, Live 0x0\n", "nf_tables"));
    }

    #[test]
    fn what_is_built_in_has_its_function_in_no_module() {
        assert!(has_symbol(&b"0000 T start\n0000 t nf_tables_newtable\n"[..]));
        assert!(!has_symbol(&b"0000 T start\n0000 t nf_tables_newtable\t[nf_tables]\n0000 t nf_tables_new\n"[..]));
        assert!(has_symbol(&b""[..]), "a list that shows nothing does not tell");
    }
}
