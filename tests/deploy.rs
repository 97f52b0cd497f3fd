// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The files of `deploy` agree with one another and with the program. `cargo xtask manifests` checks those for Kubernetes
//! against its schemas, and tests/privileged/deploy.rs runs what they say.

use std::fs;
use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).expect(name)
}

fn manifest(name: &str) -> Yaml {
    let documents = YamlLoader::load_from_str(&text(&format!("kubernetes/{name}"))).expect("YAML");
    documents.into_iter().next().expect("a document")
}

/// What is removed may differ in these alone: the name, the nodes, the option, and the capabilities that it takes.
#[test]
fn the_pod_that_removes_is_the_one_that_looks_but_for_what_it_needs() {
    let changes = [
        ("criu-gc-watch", "criu-gc-clean"),
        ("component: watch", "component: clean"),
        (
            "operator: NotIn\n                    values: [\"true\"]",
            "operator: In\n                    values: [\"true\"]",
        ),
        ("args: [watch, --host, --every", "args: [watch, --host, --clean, --every"),
        ("DAC_READ_SEARCH]", "DAC_OVERRIDE, FOWNER]"),
    ];
    let without_head = |text: &str| text.split_once("apiVersion").expect("a manifest").1.to_owned();
    let expected = changes.iter().fold(without_head(&text("kubernetes/watch.yaml")), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    assert_eq!(without_head(&text("kubernetes/clean.yaml")), expected);
    let [watch, job] = ["watch.yaml", "job.yaml"]
        .map(manifest)
        .map(|manifest| manifest["spec"]["template"]["spec"]["containers"][0]["securityContext"].clone());
    assert_eq!(watch, job);
}

#[test]
fn every_file_names_this_release() {
    let image = format!("criu-gc:{}", env!("CARGO_PKG_VERSION"));
    for name in ["watch.yaml", "clean.yaml", "job.yaml"] {
        let manifest = manifest(name);
        let pod = &manifest["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"].as_str(), Some(image.as_str()), "{name}");
        assert_eq!(pod["hostPID"].as_bool(), Some(true), "{name}");
        assert_eq!(pod["automountServiceAccountToken"].as_bool(), Some(false), "{name}");
        assert!(pod["volumes"].is_badvalue(), "{name} mounts something");
    }
    assert!(text("Containerfile").contains(&format!("--tag {image} ")));
    let kustomization = manifest("kustomization.yaml");
    assert_eq!(kustomization["images"][0]["newTag"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    // What is listed there is there, and the Job is no part of it.
    let listed = kustomization["resources"].as_vec().expect("resources");
    let listed: Vec<&str> = listed.iter().map(|name| name.as_str().expect("a name")).collect();
    assert_eq!(listed, ["namespace.yaml", "watch.yaml", "clean.yaml"]);
}

#[test]
fn a_wrong_release_stops_its_own_roll_out() {
    for name in ["watch.yaml", "clean.yaml"] {
        let spec = &manifest(name)["spec"];
        assert_eq!(spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"].as_str(), Some("10%"));
        let container = &spec["template"]["spec"]["containers"][0];
        assert_eq!(container["readinessProbe"]["httpGet"]["path"].as_str(), Some("/metrics"));
        let port = container["ports"][0]["containerPort"].as_i64().expect("a port");
        let arguments = container["args"].as_vec().expect("arguments");
        let listens = format!("--listen=0.0.0.0:{port}");
        assert!(arguments.iter().any(|argument| argument.as_str() == Some(listens.as_str())), "{name}");
    }
}
