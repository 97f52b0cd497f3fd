// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The root directory of a test with mount namespaces of its own: the copy of the suite, mounted, with the libraries of
//! its program and the device files that the suite promises.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{CommandExt, TestHost};

/// Where the root is mounted in the host.
pub(crate) const PLACE: &str = "/mnt/root";

/// Where its device files are in the host.
pub(crate) const DEVICES: &str = "/mnt/dev";

const DIRECTORIES: [&str; 10] = ["bin", "sbin", "etc", "lib", "lib64", "dev", "tmp", "usr", "proc", "run"];

/// Device files that there always are.
const NODES: [(&str, &str, &str); 3] = [("tty", "5", "0"), ("null", "1", "3"), ("autofs", "10", "235")];

/// Makes the root from the copy of the suite, and mounts it.
pub(crate) fn construct(
    host: &TestHost,
    directory: &Path,
    program: &Path,
    dependencies: &[Vec<PathBuf>],
) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("cannot make its root directory: {error}");
    lay_out(directory).map_err(cannot)?;
    for library in libraries(program) {
        copy_into(directory, &library).map_err(cannot)?;
    }
    for places in dependencies {
        let found = places.iter().find(|path| path.exists());
        let found = found.ok_or_else(|| format!("it needs {}, which this machine does not have", list(places)))?;
        for path in std::iter::once(found.clone()).chain(libraries(found)) {
            copy_into(directory, &path).map_err(cannot)?;
        }
    }
    host.run("mkdir", &[&PLACE, &DEVICES]);
    host.run("mount", &[&"--make-private", &"--bind", &directory, &PLACE]);
    make_devices(host);
    Ok(())
}

fn lay_out(directory: &Path) -> std::io::Result<()> {
    for name in DIRECTORIES {
        fs::create_dir(directory.join(name))?;
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o777))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(Path::new("..").join(name), directory.join("usr").join(name))?;
    }
    Ok(())
}

fn make_devices(host: &TestHost) {
    host.run("mount", &[&"-t", &"tmpfs", &"-o", &"mode=777", &"criu-test-dev", &DEVICES]);
    host.run("mkdir", &[&"--mode=755", &"/mnt/dev/pts", &"/mnt/dev/net"]);
    for (name, major, minor) in NODES {
        host.run("mknod", &[&"--mode=666", &Path::new(DEVICES).join(name), &"c", &major, &minor]);
    }
    for name in ["net/tun", "rtc"] {
        let (from, to) = (Path::new("/dev").join(name), Path::new(DEVICES).join(name));
        if from.exists() {
            host.run("cp", &[&"--archive", &"--dereference", &from, &to]);
            host.run("chmod", &[&"666", &to]);
        }
    }
}

fn copy_into(directory: &Path, path: &Path) -> std::io::Result<()> {
    let to = directory.join(path.strip_prefix("/").unwrap_or(path));
    fs::create_dir_all(to.parent().unwrap_or(directory))?;
    if !to.exists() {
        fs::copy(path, to)?;
    }
    Ok(())
}

/// The shared libraries that the program needs, the dynamic linker too; a script needs none.
fn libraries(program: &Path) -> Vec<PathBuf> {
    named_by_ldd(&Command::new("ldd").arg(program).env("LC_ALL", "C").finish().stdout)
}

fn named_by_ldd(output: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = match words[..] {
            [_, "=>", path, ..] => path,
            [path, ..] => path,
            [] => return None,
        };
        word.starts_with('/').then(|| PathBuf::from(word))
    };
    output.lines().filter(|line| line.starts_with('\t')).filter_map(path).collect()
}

fn list(places: &[PathBuf]) -> String {
    places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_ldd_names() {
        let output = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                      \tlibgone.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(named_by_ldd(output), expected);
        assert!(named_by_ldd("\tnot a dynamic executable\n").is_empty());
    }
}
