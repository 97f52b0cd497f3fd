// SPDX-License-Identifier: Apache-2.0 OR MIT
//! CRIU's own decoder of images, in Python.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::command::CommandExt;
use crate::criu::Criu;

/// Bytes come as base64, numbers as numbers; what follows a record is left out.
const PROGRAM: &str = "
import json, sys
import pycriu.images
with open(sys.argv[1], 'rb') as image:
    json.dump(pycriu.images.load(image, pretty=False, no_payload=True), sys.stdout)
";

/// An independent witness of what images hold.
#[derive(Debug)]
pub struct Crit;

impl Crit {
    /// The records of an image, decoded by the modules that belong to a version of CRIU.
    ///
    /// # Panics
    /// If they cannot decode it: names that are not UTF-8 are beyond them.
    #[track_caller]
    pub fn records(criu: &Criu, image: &Path) -> Vec<Value> {
        let mut python = Command::new("python3");
        python.env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python");
        python.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", criu.python_path());
        let output = python.args(["-c", PROGRAM]).arg(image).succeed().stdout;
        let mut document: Value = serde_json::from_str(&output).expect("JSON");
        match document["entries"].take() {
            Value::Array(entries) => entries,
            other => panic!("{}: {other}", image.display()),
        }
    }
}
