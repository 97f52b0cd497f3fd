// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The packet filters of a host, by their own programs: to plant rules, and to see what is there.

use std::path::Path;

use testkit::{CommandExt, Finished, IptablesFlavour, TestHost};

/// The chains and rules of the filter tables of one iptables, for IPv4 and IPv6.
pub(crate) struct Filters<'a> {
    host: &'a TestHost,
    namespace: Option<&'a Path>,
    flavour: IptablesFlavour,
}

impl<'a> Filters<'a> {
    /// Those of the host, made if they are not there.
    pub(crate) fn of_host(host: &'a TestHost, flavour: IptablesFlavour) -> Self {
        Self::new(host, None, flavour)
    }

    /// The same of a namespace, by its path in the host.
    pub(crate) fn of_namespace(host: &'a TestHost, namespace: &'a Path, flavour: IptablesFlavour) -> Self {
        Self::new(host, Some(namespace), flavour)
    }

    fn new(host: &'a TestHost, namespace: Option<&'a Path>, flavour: IptablesFlavour) -> Self {
        make_tables(host, namespace, flavour);
        Filters { host, namespace, flavour }
    }

    /// What criu-gc calls the program.
    pub(crate) fn command(&self, program: &str) -> String {
        command(program, self.flavour)
    }

    /// Runs `iptables` or `ip6tables` with these words.
    pub(crate) fn run(&self, program: &str, words: &str) -> Finished {
        let mut command = self.host.command_in(self.namespace, self.command(program));
        command.args(words.split_whitespace()).succeed()
    }

    /// The rules and chains in their order, with their counters: `[0:0] -A INPUT -j DROP`. Those of a chain itself are
    /// left out: any change of any chain by legacy iptables sets them to zero.
    pub(crate) fn lines(&self, program: &str) -> Vec<String> {
        let mut command = self.host.command_in(self.namespace, format!("{}-save", self.command(program)));
        let saved = command.args(["-c", "-t", "filter"]).succeed();
        let lines = saved.stdout.lines().filter(|line| !line.starts_with('#'));
        let without_counters = |line: &str| match line.split_once(" [") {
            Some((chain, _)) if line.starts_with(':') => chain.to_owned(),
            _ => line.to_owned(),
        };
        lines.map(without_counters).collect()
    }

    /// The rules that drop all but what CRIU has marked, without their counters: `-A INPUT … -j DROP`.
    pub(crate) fn drops(&self, program: &str) -> Vec<String> {
        let lines = self.lines(program);
        let rules = lines.iter().filter_map(|line| line.split_once("] ").map(|(_, rule)| rule.to_owned()));
        rules.filter(|rule| rule.contains("! --mark 0xc114") && rule.ends_with("-j DROP")).collect()
    }

    /// Makes the chains and rules of the script, with their counters, beside what is there.
    pub(crate) fn add(&self, program: &str, script: &[String]) {
        let file = self.host.dir().with_file_name("rules");
        std::fs::write(&file, format!("*filter\n{}\nCOMMIT\n", script.join("\n"))).expect("a file");
        let mut command = self.host.command_in(self.namespace, format!("{}-restore", self.command(program)));
        command.args(["--noflush", "--counters"]).arg(file).succeed();
    }

    /// Inserts a rule, given as [`Filters::drops`] gives it, at the head of its chain.
    pub(crate) fn insert(&self, program: &str, rule: &str) {
        self.run(program, &rule.replacen("-A", "-I", 1));
    }

    /// Deletes a rule, given as [`Filters::drops`] gives it.
    pub(crate) fn delete(&self, program: &str, rule: &str) {
        self.run(program, &rule.replacen("-A", "-D", 1));
    }
}

/// Makes the filter tables of an iptables, so that a dump adds only rules: they never go away, whoever made them.
pub(crate) fn make_tables(host: &TestHost, namespace: Option<&Path>, flavour: IptablesFlavour) {
    let script = r#"for program; do for chain in INPUT FORWARD OUTPUT; do "$program" -P $chain ACCEPT; done; done"#;
    let programs = ["iptables", "ip6tables"].map(|program| command(program, flavour));
    host.command_in(namespace, "sh").args(["-e", "-c", script, "sh"]).args(programs).succeed();
}

fn command(program: &str, flavour: IptablesFlavour) -> String {
    let backend = match flavour {
        IptablesFlavour::Nft => "nft",
        IptablesFlavour::Legacy => "legacy",
    };
    format!("{program}-{backend}")
}

/// Runs `nft` in the host, or in a namespace of it.
pub(crate) fn nft(host: &TestHost, namespace: Option<&Path>, words: &str) -> String {
    host.command_in(namespace, "nft").arg(words).succeed().stdout
}

/// The names of the tables of family `inet`.
pub(crate) fn tables(host: &TestHost, namespace: Option<&Path>) -> Vec<String> {
    let list = nft(host, namespace, "list tables");
    list.lines().filter_map(|line| line.strip_prefix("table inet ").map(str::to_owned)).collect()
}
