// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What runtimes and engines write beside the images, which is whoever's word that can write it: a fact stands in the
//! file that it is said to be from, counts as this host's only where nobody but root can have written that file, and
//! there are no more facts, and no more words, than a container can have.
#![no_main]

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use criu_gc::internals::locate::context::{Context, Named, Recorded, Trust};
use criu_gc::internals::locate::{self, Found};
use criu_gc_fuzz::container::{ContainerDirectory, FILES};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// A note is a sentence about a file.
const LONGEST_NOTE: usize = 1024;
/// A path of Linux, and a name or an id.
const LONGEST_PATH: usize = 4096;
const LONGEST_NAME: usize = 256;

fuzz_target!(|data: &[u8]| {
    let Some(directory) = ContainerDirectory::of(data) else { return };
    // A file that makes it a pod leaves no images where another layout has them.
    let Ok(Found::Checkpoints(found)) = locate::locate(directory.named(), None, &|_| {}) else { return };
    assert_eq!((found.located.len(), found.unusable.len()), (1, 0), "{directory:?}");
    check(&directory, &found.located[0].context);
});

fn check(directory: &ContainerDirectory, context: &Context) {
    let Context { network_namespaces, root, binds, .. } = context;
    for recorded in network_namespaces.iter().chain(root) {
        check_fact(directory, recorded, &recorded.value);
    }
    for recorded in binds {
        check_fact(directory, recorded, &recorded.value.source);
        assert!(recorded.value.destination.as_os_str().len() < LONGEST_PATH, "{recorded:?}");
    }
    // Once more by what the rest of the tool asks for.
    let namespaces = network_namespaces.iter().filter(|path| path.trust == Trust::Host);
    let own = namespaces.map(|path| path.value.as_path()).chain(context.own_root());
    let own: Vec<&Path> = own.chain(context.own_binds().map(|bind| bind.source.as_path())).collect();
    let trusted: Vec<&str> = FILES.into_iter().filter(|file| directory.is_engines_own(file)).collect();
    for path in own {
        assert!(trusted.iter().any(|file| stands_in(directory, file, path)), "{path:?} is a stranger's: {context:?}");
    }
    assert!(network_namespaces.len() <= 16 && binds.len() <= 1024 && context.addresses.len() <= 64, "too many facts");
    check_words(context);
}

fn check_fact<T>(directory: &ContainerDirectory, recorded: &Recorded<T>, path: &PathBuf) {
    let file = recorded.file.as_str();
    assert!(path.is_absolute() && path.as_os_str().len() < LONGEST_PATH, "{path:?} of {file}");
    assert!(stands_in(directory, file, path), "{path:?} does not stand in {file}");
    assert!(recorded.trust == Trust::Stranger || directory.is_engines_own(file), "{path:?} of {file}");
}

fn check_words(context: &Context) {
    for Named { name, id } in [&context.engine, &context.container, &context.pod] {
        for text in name.iter().chain(id) {
            assert!(!text.is_empty() && text.len() <= LONGEST_NAME, "{text:?}");
        }
    }
    assert!(context.criu_version.as_ref().is_none_or(|text| text.len() <= LONGEST_NAME));
    for address in &context.addresses {
        let (address, prefix) = address.split_once('/').unwrap_or((address, "0"));
        assert!(address.parse::<IpAddr>().is_ok() && prefix.parse::<u8>().is_ok(), "{address:?}");
    }
    assert!(context.notes.len() <= 2 * FILES.len(), "{} notes", context.notes.len());
    for note in &context.notes {
        assert!(note.len() <= LONGEST_NOTE, "a note of {} bytes", note.len());
    }
}

/// The path itself, or one that begins at the directory of the file.
fn stands_in(directory: &ContainerDirectory, file: &str, path: &Path) -> bool {
    let content = fs::read(directory.files().join(file)).unwrap_or_default();
    let mut strings = HashSet::new();
    match serde_json::from_slice(&content) {
        Ok(value) => collect(&value, &mut strings),
        // What is read over need not be right: a number without end, bytes that are no text.
        Err(_) => return contains(&content, path) || content.contains(&b'\\'),
    }
    strings.iter().any(|text| match Path::new(text) {
        absolute if absolute.is_absolute() => path == absolute,
        relative => {
            let parts = relative.components().filter(|part| *part != Component::CurDir);
            path.ends_with(parts.collect::<PathBuf>())
        }
    })
}

/// Relative ones stand there as the end of it.
fn contains(content: &[u8], path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    content.windows(name.len().max(1)).any(|window| name.is_empty() || window == name)
}

fn collect(value: &Value, strings: &mut HashSet<String>) {
    match value {
        Value::String(text) => drop(strings.insert(text.clone())),
        Value::Array(values) => values.iter().for_each(|value| collect(value, strings)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, strings)),
        _ => {}
    }
}
