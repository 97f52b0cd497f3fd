// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What dumps and what cleans up.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use testkit::{Criu, IptablesFlavour};

use crate::error::Error;
use crate::options::{Iptables, Options};

/// One criu, and all that is used with it.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The criu.
    pub(crate) criu: Criu,
    /// The iptables that it finds.
    pub(crate) iptables: IptablesFlavour,
    /// Options for every dump.
    pub(crate) criu_options: Vec<OsString>,
    /// The criu-gc that is tried.
    pub(crate) tool: PathBuf,
}

impl Programs {
    /// One for each criu that is asked for.
    pub(crate) fn chosen(options: &Options, tool: &Path) -> Result<Vec<Self>, Error> {
        let iptables = match options.iptables {
            Iptables::Nft => IptablesFlavour::Nft,
            Iptables::Legacy => IptablesFlavour::Legacy,
        };
        let programs = |criu| Self { criu, iptables, criu_options: options.criu_option.clone(), tool: tool.to_owned() };
        Ok(criu(&options.criu)?.into_iter().map(programs).collect())
    }
}

/// The CRIUs with these versions or paths; all if there are none.
fn criu(names: &[String]) -> Result<Vec<Criu>, Error> {
    let all = Criu::all();
    if names.is_empty() {
        return Ok(all);
    }
    let one = |name: &String| match name.contains('/') {
        true => match Path::new(name).canonicalize() {
            Ok(path) => Criu::at(&path).ok_or(Error::NoCriuProgram(path)),
            Err(source) => Err(Error::File { action: "find", path: name.into(), source }),
        },
        false => all.iter().find(|criu| criu.version() == name).cloned().ok_or_else(|| {
            let versions = all.iter().map(Criu::version).collect::<Vec<_>>().join(", ");
            Error::NoSuchCriu(name.clone(), versions)
        }),
    };
    names.iter().map(one).collect()
}
