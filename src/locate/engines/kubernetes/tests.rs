// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::path::PathBuf;

use super::super::pick::pick;
use super::*;

fn place(namespace: &str, pod: &str, container: &str) -> Container {
    let at = At::Directory(PathBuf::from(format!("{namespace}/{pod}/{container}")));
    Place { namespace: Some(namespace), pod, container: Some(container) }.container(at)
}

fn picked(containers: Vec<Container>, typed: &str) -> Result<usize, NameError> {
    pick(Engine::Kubernetes, containers, typed).map(|found| found.len())
}

fn unusable(file: &str) -> Container {
    let path = Path::new("/var/lib/kubelet/checkpoints").join(file);
    of_unusable(Unusable { path: path.clone(), error: LocateError::NoImages { path } })
}

#[test]
fn a_pod_is_all_its_containers() {
    let all = || vec![place("shop", "web", "app"), place("shop", "web", "proxy"), place("shop", "db", "app")];
    for (typed, count) in [("web", 2), ("shop/web", 2), ("web/app", 1), ("shop/web/proxy", 1), ("db", 1)] {
        assert_eq!(picked(all(), typed).unwrap(), count, "{typed}");
    }
    for absent in ["shop", "app", "web/db", "other/web", "we"] {
        assert!(matches!(picked(all(), absent), Err(NameError::Absent { .. })), "{absent}");
    }
}

#[test]
fn a_pod_of_two_namespaces_is_ambiguous() {
    let all = || vec![place("shop", "web", "app"), place("test", "web", "app")];
    assert!(matches!(picked(all(), "web"), Err(NameError::Ambiguous { .. })));
    assert!(matches!(picked(all(), "web/app"), Err(NameError::Ambiguous { .. })));
    assert_eq!(picked(all(), "test/web").unwrap(), 1);
    // The pod `b` in the namespace `a`, or the container `b` of the pod `a`.
    let all = || vec![place("a", "b", "c"), place("x", "a", "b")];
    assert!(matches!(picked(all(), "a/b"), Err(NameError::Ambiguous { .. })));
    assert_eq!(picked(all(), "x/a/b").unwrap(), 1);
}

#[test]
fn an_archive_that_cannot_be_read_may_be_of_the_pod_in_its_name() {
    let all = || vec![place("shop", "web", "app"), unusable("checkpoint-web_shop-app-2026-11-27T10:00:00Z.tar")];
    assert_eq!(picked(all(), "web").unwrap(), 2);
    assert_eq!(picked(all(), "shop/web/app").unwrap(), 2);
    let others = || vec![place("shop", "db", "app"), unusable("checkpoint-web_shop-app-2026-11-27T10:00:00Z.tar")];
    assert_eq!(picked(others(), "db").unwrap(), 1);
    assert_eq!(picked(others(), "web").unwrap(), 1);
}
