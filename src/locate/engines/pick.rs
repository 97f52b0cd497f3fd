// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which of an engine's containers is meant by what was typed, and which were perhaps meant, pure.

use std::path::Path;

use super::super::container::Container;
use super::{Engine, NameError};

/// So many near names an error tells.
const NEAREST: usize = 5;

/// Those of the containers that are meant: by a name or id, else by the beginning of an id.
pub(super) fn pick(engine: Engine, containers: Vec<Container>, typed: &str) -> Result<Vec<Container>, NameError> {
    let meanings = |container: &Container| -> Vec<String> {
        let exact = container.names.iter().filter(|name| name.typed == typed);
        exact.map(|name| name.means.clone()).collect()
    };
    let begins = |container: &Container| -> Vec<String> {
        let id = container.id.iter().filter(|id| !typed.is_empty() && id.starts_with(typed));
        id.cloned().collect()
    };
    let perhaps: Vec<bool> = containers.iter().map(|container| container.is_perhaps(typed)).collect();
    let is_exact = containers.iter().any(|container| !meanings(container).is_empty());
    let meant: Vec<Vec<String>> =
        containers.iter().map(|container| if is_exact { meanings(container) } else { begins(container) }).collect();
    let mut means: Vec<&String> = meant.iter().flatten().collect();
    means.sort_unstable();
    means.dedup();
    let with_prefix = |name: &str| format!("{}:{name}", engine.prefix());
    match means[..] {
        [] if !perhaps.contains(&true) => {
            let nearest = nearest(&containers, typed).iter().map(|name| with_prefix(name)).collect();
            let unread = containers.iter().filter_map(Container::unread_path).map(Path::to_owned).collect();
            Err(NameError::Absent { engine, typed: typed.to_owned(), nearest, unread })
        }
        [] | [_] => {
            let is_meant = meant.iter().zip(&perhaps).map(|(means, perhaps)| !means.is_empty() || *perhaps);
            let is_meant: Vec<bool> = is_meant.collect();
            Ok(containers.into_iter().zip(is_meant).filter_map(|(container, is)| is.then_some(container)).collect())
        }
        _ => {
            let means = means.into_iter().map(|name| with_prefix(name)).collect();
            Err(NameError::Ambiguous { named: with_prefix(typed), means })
        }
    }
}

/// The names that are written most like this one.
fn nearest(containers: &[Container], typed: &str) -> Vec<String> {
    let mut names: Vec<&str> = containers.iter().map(Container::shown).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let distance = |name: &str| strsim::osa_distance(name, typed).min(strsim::osa_distance(&last(name), &last(typed)));
    names.sort_by_key(|name| distance(name));
    names.into_iter().take(NEAREST).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::{LocateError, Unusable};
    use super::*;

    const ONE: &str = "6c0f0e1b00000000000000000000000000000000000000000000000000000001";
    const TWO: &str = "6c0f0e1b00000000000000000000000000000000000000000000000000000002";

    fn two() -> Vec<Container> {
        let with_id =
            |id: &str, name: Option<&str>| Container::with_id(id.to_owned(), name.map(str::to_owned), Vec::new());
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
    fn an_absent_name_may_be_in_what_cannot_be_read() {
        let unread = |path: &str| {
            let error = LocateError::NoImages { path: path.into() };
            Container::unread(Unusable { path: path.into(), error })
        };
        let mut containers = two();
        containers.extend([unread("/one.tar"), unread("/two.tar")]);
        assert_eq!(picked(containers, ONE).unwrap(), [ONE]);
        let text = pick(Engine::Cri, vec![unread("/one.tar")], "abc").unwrap_err().to_string();
        assert!(text.contains(" has no container abc; /one.tar cannot be read, and may be of it; names "), "{text}");
        let text = pick(Engine::Cri, vec![unread("/one.tar"), unread("/two.tar")], "abc").unwrap_err().to_string();
        assert!(text.contains("; 2 archives cannot be read, such as /one.tar, and may be of it; "), "{text}");
    }

    #[test]
    fn an_absent_name_is_answered_with_the_nearest_and_the_prefixes() {
        let text = picked(two(), "wbe").unwrap_err().to_string();
        assert!(text.starts_with("Docker has no container wbe; the nearest are docker:web, "), "{text}");
        for engine in Engine::ALL {
            assert!(text.contains(engine.form()), "{text}");
        }
    }
}
