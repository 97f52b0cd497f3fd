// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;

const ONE: &str = "6c0f0e1b00000000000000000000000000000000000000000000000000000001";
const TWO: &str = "6c0f0e1b00000000000000000000000000000000000000000000000000000002";

fn two() -> Vec<Container> {
    let with_id = |id: &str, name: Option<&str>| Container::with_id(id.to_owned(), name.map(str::to_owned), Vec::new());
    vec![with_id(ONE, Some("web")), with_id(TWO, None)]
}

fn picked(containers: Vec<Container>, typed: &str) -> Result<Vec<String>, NameError> {
    let picked = pick(Engine::Docker, containers, typed)?;
    Ok(picked.into_iter().filter_map(|container| container.id.or(container.name)).collect())
}

#[test]
fn a_name_an_id_and_the_beginning_of_an_id_are_found() {
    for (typed, id) in [("web", ONE), (ONE, ONE), (TWO, TWO), (&TWO[..64], TWO)] {
        assert_eq!(picked(two(), typed).unwrap(), [id], "{typed}");
    }
    let error = picked(two(), "6c0f").unwrap_err();
    assert!(matches!(&error, NameError::Ambiguous { means, .. } if means.len() == 2), "{error}");
    for typed in ["", "we", "webs", "7", "6C0F"] {
        assert!(matches!(picked(two(), typed).unwrap_err(), NameError::Absent { .. }), "{typed}");
    }
}

#[test]
fn a_name_comes_before_the_beginning_of_an_id() {
    let mut containers = two();
    containers[0].names[0].typed = "6c0f".to_owned();
    assert_eq!(picked(containers, "6c0f").unwrap(), [ONE]);
}

#[test]
fn an_absent_name_is_answered_with_the_nearest_and_the_prefixes() {
    let text = picked(two(), "wbe").unwrap_err().to_string();
    assert!(text.starts_with("Docker has no container wbe; the nearest are docker:web, "), "{text}");
    for engine in Engine::ALL {
        assert!(text.contains(engine.form()), "{text}");
    }
}

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
