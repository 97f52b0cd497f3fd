// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::criu::{HONOURED, WITHOUT_EFFECT};
use super::*;

fn words(line: &str) -> Vec<OsString> {
    std::iter::once("criu-gc").chain(line.split(' ')).filter(|word| !word.is_empty()).map(OsString::from).collect()
}

#[track_caller]
fn parsed(line: &str) -> Arguments {
    Arguments::of_command_line(&words(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The line is refused, in words that have all these among them.
#[track_caller]
fn check_refused(line: &str, parts: &[&str]) {
    let error = Arguments::of_command_line(&words(line)).expect_err(line).to_string();
    for part in parts {
        assert!(error.contains(part), "{line}: {part:?} is not in {error}");
    }
    // Following such a tip of clap's would make a directory of the option.
    assert!(!error.contains("-- "), "{line}: {error}");
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
    let own: Vec<String> =
        Arguments::command().get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)).collect();
    for option in WITHOUT_EFFECT {
        assert!(!own.iter().any(|name| name == option.long), "{} is twice", option.long);
    }
    for name in HONOURED {
        assert!(own.iter().any(|own| own == name) || name == "verbosity", "{name} is not honoured");
    }
}

#[test]
fn all_ways_to_name_a_directory_mean_the_same() {
    for line in ["-D x", "gc -D x", "clean -D x", "x", "--images-dir x", "-D x gc", "gc x", "--yes clean x", "-- x"] {
        assert_eq!(parsed(line).all_directories(), [PathBuf::from("x")], "{line}");
    }
}

#[test]
fn every_way_to_ask_for_a_list_is_show() {
    for line in ["--show x", "-n x", "--dry-run x", "show x", "-D x show", "--sho x", "-n --show show x", "-nv x"] {
        assert!(parsed(line).show, "{line}");
    }
    assert!(!parsed("gc x").show && !parsed("-D show").show);
}

#[test]
fn a_directory_called_like_a_command_word_is_named_with_an_option_or_a_path() {
    assert_eq!(parsed("-D show ./gc").all_directories(), [Path::new("show"), Path::new("./gc")]);
    for word in ["show", "gc", "clean", "scan", "rm"] {
        for line in [format!("x {word}"), format!("gc {word} x"), format!("-D x gc {word}"), format!("x -- {word}")] {
            check_refused(&line, &[word, "command word", &format!("./{word}")]);
        }
    }
    check_refused("x show", &["did you mean --show?"]);
}

#[test]
fn options_that_do_not_exist_are_refused_and_show_is_suggested() {
    for (line, parts) in [
        ("--shwo x", &["unknown option --shwo", "did you mean --show?"][..]),
        ("--list x", &["unknown option --list", "did you mean --show?"]),
        ("--simulate x", &["did you mean --show?"]),
        ("--dry-rnu x", &["did you mean --show?"]),
        ("--force x", &["unknown option --force", "--allow REASON"]),
        ("gc --force x", &["unknown option --force", "--allow REASON"]),
        ("-q x", &["unknown option -q"]),
        ("gc --tcp-estabilshed x", &["unknown option --tcp-estabilshed"]),
        ("gc --feature x", &["unknown option --feature"]),
        ("--s x", &["--s is ambiguous", "--show", "--save"]),
        ("-o --show -D x", &["-o needs a value", "--show looks like an option"]),
        ("--show=1 x", &["--show takes no value"]),
        ("-D", &["-D needs a value"]),
    ] {
        check_refused(line, parts);
    }
}

#[test]
fn the_command_line_of_2016_and_that_of_a_restore_are_understood() {
    let line = parsed("gc -o gc.log -D DIR -v4 --show");
    assert_eq!((line.command, line.verbose, line.show), (Some(CommandWord::Gc), 2, true));
    assert_eq!((line.log_file, line.images_dir), (Some("gc.log".into()), vec!["DIR".into()]));
    let line = parsed(
        "clean -D DIR -d -v4 -o restore.log --tcp-established --ext-unix-sk -x5 --shell-job -r /root -W /work \
         --manage-cgroups=ignore --no-link-remap --cpu-cap --pidfile p --timeout 10 -L /lib -t 5",
    );
    assert_eq!((line.root, line.work_dir), (Some("/root".into()), Some("/work".into())));
    let typed = [
        "-d",
        "--tcp-established",
        "--ext-unix-sk",
        "-x",
        "--shell-job",
        "--manage-cgroups",
        "--no-link-remap",
        "--cpu-cap",
        "--pidfile",
        "--timeout",
        "-L",
        "-t",
    ];
    assert_eq!(line.without_effect, typed);
    // As in CRIU, the last of several counts.
    assert_eq!(parsed("gc x -r /a --root /b").root, Some("/b".into()));
    // What is behind is a command for criu restore.
    let line = parsed("gc -D DIR --exec-cmd -- ip link show");
    assert_eq!((line.all_directories(), line.without_effect), (vec!["DIR".into()], vec!["--exec-cmd".to_owned()]));
}

#[test]
fn levels_are_those_of_criu() {
    for (line, verbose) in [
        ("x", 0),
        ("-v x", 1),
        ("-vv x", 2),
        ("-vvvv x", 2),
        ("-v0 x", 0),
        ("-v2 x", 0),
        ("-v3 x", 1),
        ("-v4 x", 2),
        ("-v4 -v0 x", 0),
        ("-v3 -v x", 2),
        ("--verbose x", 1),
        ("--verbosity x", 1),
        ("--verbosity=4 x", 2),
        ("-vy x", 1),
    ] {
        assert_eq!(parsed(line).verbose, verbose, "{line}");
    }
    check_refused("--verbosity=high x", &["expected a number"]);
}

#[test]
fn options_of_criu_need_the_word_and_values_that_it_has() {
    check_refused("--tcp-established x", &["is an option of criu restore", "after the word gc"]);
    check_refused("-d x", &["is an option of criu restore"]);
    check_refused("gc --manage-cgroups=all x", &["--manage-cgroups", "ignore"]);
    check_refused("gc --network-lock ufw x", &["ufw"]);
    for option in WITHOUT_EFFECT {
        let value = option.values.first().unwrap_or(&"1");
        let line = match option.takes {
            words::Takes::Value => format!("gc -D x --{} {value}", option.long),
            words::Takes::Nothing | words::Takes::Optional | words::Takes::Number => {
                format!("gc -D x --{}", option.long)
            }
        };
        assert_eq!(parsed(&line).without_effect, [format!("--{}", option.long)], "{line}");
    }
}

#[test]
fn resources_have_their_effect_under_every_name() {
    let line =
        parsed("gc x -M vol:/srv --external mnt[a]:/b --inherit-fd fd[7]:ns -J net:/n --external tty[1:2] -J uts:/u");
    let mount = |key: &str, path: &str| Resource::Mount { key: key.into(), path: path.into() };
    let resources: Vec<&Resource> = line.resources().filter(|resource| **resource != Resource::WithoutEffect).collect();
    let file = Resource::OpenFile { number: 7, key: b"ns".to_vec() };
    let joined = Resource::Joined { path: "/n".into() };
    assert_eq!(resources, [&mount("a", "/b"), &mount("vol", "/srv"), &file, &joined]);
    assert_eq!(line.without_effect, ["--external", "--join-ns"]);
}

#[test]
fn a_configuration_file_says_what_the_line_does_not() {
    let text = b"images-dir /a\nroot /r\nwork-dir /w\nverbosity 4\ntcp-established\nexternal mnt[k]:/x\n";
    let statements = config::parse(text).unwrap();
    let with = |line: &str| Arguments::with_config(&words(line), &statements).unwrap();
    let line = with("gc --config f -W /mine");
    assert_eq!((line.all_directories(), line.root), (vec!["/a".into()], Some("/r".into())));
    assert_eq!((line.work_dir, line.verbose, line.external.len()), (Some("/mine".into()), 2, 1));
    assert_eq!(line.without_effect, ["tcp-established"]);
    assert_eq!(with("--config f x").all_directories(), [Path::new("x")]);
    for wrong in ["show", "yes", "no-such", "root", "tcp-close 1", "allow tree-alive"] {
        let statements = config::parse(format!("# one\n{wrong}\n").as_bytes()).unwrap();
        let error = Arguments::with_config(&words("x"), &statements).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{wrong}: {error}");
    }
}

#[test]
fn a_reason_with_another_remedy_names_it() {
    check_refused("--allow untied-namespace x", &["--netns"]);
    check_refused("--allow criu-at-work x", &["wait until"]);
    check_refused("--allow tree-dead x", &["tree-alive, tree-unknown"]);
}

#[test]
fn only_the_option_host_enters_the_host() {
    assert!(enters_host(&words("--host x")) && enters_host(&words("gc --hos -D x")));
    assert!(!enters_host(&words("-- --host")) && !enters_host(&words("--shost")) && !enters_host(&words("host")));
}

#[test]
fn a_name_of_ip_netns_is_where_it_is() {
    let run = |path: &Path| path.starts_with("/run");
    assert_eq!(namespace_path(Path::new("blue"), run), Path::new("/run/netns/blue"));
    assert_eq!(namespace_path(Path::new("blue"), |_| false), Path::new("/run/netns/blue"));
    let elsewhere = |path: &Path| path.starts_with("/var/run");
    assert_eq!(namespace_path(Path::new("blue"), elsewhere), Path::new("/var/run/netns/blue"));
    assert_eq!(namespace_path(Path::new("./blue"), |_| true), Path::new("./blue"));
}
