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
def load(path):
    with open(path, 'rb') as image:
        return pycriu.images.load(image, pretty=False, no_payload=True)['entries']
json.dump([load(path) for path in sys.argv[1:]], sys.stdout)
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
        Self::records_of_all(criu, &[image]).pop().expect("an image")
    }

    /// The same for several images at once: Python takes longer to start than to decode.
    ///
    /// # Panics
    /// If they cannot decode one of them.
    #[track_caller]
    pub fn records_of_all(criu: &Criu, images: &[&Path]) -> Vec<Vec<Value>> {
        let mut python = Command::new("python3");
        python.env("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python");
        python.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONPATH", criu.python_path());
        let output = python.args(["-c", PROGRAM]).args(images).succeed().stdout;
        serde_json::from_str(&output).expect("the records of each image")
    }
}
