// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

#[test]
fn the_prefix_tells_the_engine() {
    assert_eq!(name_in(Path::new("podman:web")), Some((Engine::Podman, OsStr::new("web"))));
    assert_eq!(name_in(Path::new("k8s:a/b/c")), Some((Engine::Kubernetes, OsStr::new("a/b/c"))));
    for path in ["./podman:web", "podman", "dockers:web", "Docker:web", "/srv/docker:web"] {
        assert_eq!(name_in(Path::new(path)), None, "{path}");
    }
}

#[test]
fn prefixes_are_completed() {
    assert_eq!(completions("do"), ["docker:"]);
    assert_eq!(completions("").len(), Engine::ALL.len());
    assert_eq!(completions("/srv"), Vec::<String>::new());
}
