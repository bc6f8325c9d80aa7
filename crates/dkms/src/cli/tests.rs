use super::*;
use crate::actions::ACTIONS;

fn read(words: &[&str]) -> Result<Arguments, Stop> {
    Arguments::read(std::iter::once(&"dkms").chain(words).map(OsString::from))
}

fn line(line: &str) -> Result<Arguments, Stop> {
    read(&line.split_whitespace().collect::<Vec<_>>())
}

fn text(words: &str) -> String {
    match line(words) {
        Err(Stop::Text(text)) => text,
        Err(Stop::Wrong(text)) => panic!("{words}: {text}"),
        Ok(_) => panic!("{words}: no text"),
    }
}

fn wrong(words: &str) -> String {
    match line(words) {
        Err(Stop::Wrong(text)) => text,
        _ => panic!("{words}: not wrong"),
    }
}

/// The value of an option that reads it.
fn sample(row: &OptionRow) -> &'static str {
    match row.value {
        Value::Jobs | Value::Seconds => "7",
        Value::Directive => "A=b",
        _ => "value",
    }
}

#[test]
fn every_option_is_read() {
    for row in OPTIONS.iter().filter(|row| ![Opt::Help, Opt::Version].contains(&row.opt)) {
        let names = row.short.map(|short| format!("-{short}"));
        let names = names.into_iter().chain((!row.long.is_empty()).then(|| format!("--{}", row.long)));
        for name in names {
            let words = match row.value {
                Value::Flag | Value::OptionalFile => vec!["status", &name],
                _ => vec!["status", &name, sample(row)],
            };
            let arguments = read(&words).unwrap_or_else(|_| panic!("{name}"));
            assert_eq!(arguments.given, [row.opt], "{name}");
            assert!(arguments.words.is_empty(), "{name}");
            if !DEPRECATED.contains(&row.opt) {
                let with = Arguments { given: Vec::new(), ..arguments };
                let without = read(&["status"]).unwrap_or_default();
                assert_ne!(format!("{with:?}"), format!("{without:?}"), "{name} has no field");
            }
        }
    }
}

#[test]
fn an_empty_value_is_no_value() {
    let plain = format!("{:?}", read(&["status"]).unwrap_or_default());
    for row in OPTIONS.iter().filter(|row| row.takes_value() && row.value != Value::OptionalFile) {
        let with_empty = read(&["status", &row.name(), ""]).map(|arguments| {
            assert_eq!(arguments.empty_version, row.opt == Opt::ModuleVersion);
            Arguments { empty_version: false, ..arguments }
        });
        match row.opt {
            Opt::Root => assert!(matches!(with_empty, Err(Stop::Wrong(_)))),
            _ => assert_eq!(format!("{:?}", with_empty.unwrap_or_default()), plain, "{}", row.name()),
        }
    }
    let words = read(&["", "status", "", ""]).unwrap_or_default();
    assert_eq!((words.action, words.words), (Some(Action::Status), Vec::new()));
}

#[test]
fn the_last_value_counts_and_names_can_be_shortened() {
    let arguments = line("-m a build --verb -m b --lock=5 -k 1 --kernelv 2 -k=3 c").unwrap_or_default();
    assert_eq!(arguments.module.as_deref(), Some("b"));
    assert_eq!(arguments.lock_timeout, Some(5));
    assert_eq!(arguments.kernels, ["1", "2", "3"]);
    assert_eq!((arguments.verbose, arguments.words), (true, vec!["c".to_owned()]));
}

#[test]
fn words_become_actions_and_operands() {
    let table = [
        ("status", Some(Action::Status), None, ""),
        ("add build", Some(Action::Add), Some(Action::Build), ""),
        ("mok status", Some(Action::Mok), None, "status"),
        ("mok install", Some(Action::Mok), Some(Action::Install), ""),
        ("a/1 install b", Some(Action::Install), None, "a/1 b"),
        ("status help", Some(Action::Status), None, "help"),
        ("-m help status", Some(Action::Status), None, ""),
        ("frobnicate", None, None, "frobnicate"),
    ];
    for (words, action, second, operands) in table {
        let arguments = line(words).unwrap_or_default();
        assert_eq!((arguments.action, arguments.second_action), (action, second), "{words}");
        assert_eq!(arguments.words.join(" "), operands, "{words}");
    }
}

#[test]
fn help_is_about_everything_or_about_one_action() {
    for words in ["--help", "-h", "help", "help help", "-q --help", "--help --no-such-option"] {
        assert_eq!(text(words), help::overview(), "{words}");
    }
    for row in ACTIONS {
        let expected = help::action_help(row);
        for words in ["help ACTION", "ACTION --help", "--help ACTION", "-h ACTION", "-k 6.1 ACTION a/1 -h"] {
            assert_eq!(text(&words.replace("ACTION", row.word)), expected, "{words}");
        }
    }
    for words in ["help instal", "instal --help", "--help instal"] {
        assert!(wrong(words).contains("'instal' is not an action: did you mean 'install'?"), "{words}");
    }
    assert!(wrong("help frobnicate").contains("'frobnicate' is not an action; 'dkms help' lists them"));
    assert!(text("--version").starts_with("dkms-"));
    assert!(text("--version --no-such-option").starts_with("dkms-"));
}

#[test]
fn wrong_lines_say_what_could_be_meant() {
    let table = [
        ("status --no-such-option", "there is no option '--no-such-option'\n"),
        ("install a/1 --no-depmd", "there is no option '--no-depmd': did you mean '--no-depmod'?"),
        ("install a/1 --kernel-ver=1", "there is no option '--kernel-ver': did you mean '--kernelver'?"),
        ("install a/1 --mok", "did you mean '--mok-signing-key' or '--mok-certificate'?"),
        ("build a/1 -x", "there is no option '-x'\n"),
        ("build a/1 -j many", "invalid value 'many' for '-j"),
        ("build a/1 -k", "a value is required for '--kernelver"),
        ("build a/1 --force=yes", "unexpected value 'yes' for '--force'"),
    ];
    for (words, expected) in table {
        assert!(
            wrong(words).starts_with(&format!("dkms: error: {expected}")) || wrong(words).contains(expected),
            "{words}: {}",
            wrong(words)
        );
    }
}

#[test]
fn which_commands_only_look() {
    let looks =
        ["status", "verify", "ready", "pending", "fsck", "lint", "mok", "mok status", "lint --dry-run"];
    let changes = ["config", "fsck --repair", "lint --fix", "mok enroll", "install a/1", "generate_mok"];
    for (words, expected) in looks.map(|l| (l, true)).into_iter().chain(changes.map(|l| (l, false))) {
        assert_eq!(line(words).unwrap_or_default().is_query(), expected, "{words}");
    }
    let recovers = ["install a/1", "mok rotate", "mktarball a/1", "kernel_prerm -k 1"];
    let does_not = ["status", "config", "lint --fix", "fsck --repair", "mok"];
    for (words, expected) in recovers.map(|l| (l, true)).into_iter().chain(does_not.map(|l| (l, false))) {
        assert_eq!(line(words).unwrap_or_default().recovers_first(), expected, "{words}");
    }
    let runs = ["install a/1", "fsck --repair", "ldtarball x", "mok rotate"];
    let tree_only =
        ["install a/1 --dry-run", "config", "lint --fix", "mktarball a/1", "mkdriverdisk a/1", "fsck"];
    for (words, expected) in runs.map(|l| (l, true)).into_iter().chain(tree_only.map(|l| (l, false))) {
        assert_eq!(line(words).unwrap_or_default().runs_programs(), expected, "{words}");
    }
}

#[test]
fn misspelt_actions_are_recognised() {
    let table = [
        ("instal", Some("install")),
        ("isntall", Some("install")),
        ("installl", Some("install")),
        ("unistall", Some("uninstall")),
        ("Status", Some("status")),
        ("stauts", Some("status")),
        ("autoinstal", Some("autoinstall")),
        ("auto-install", Some("autoinstall")),
        ("ad", Some("add")),
        ("kernel-postinst", Some("kernel_postinst")),
        ("generate-mok", Some("generate_mok")),
        ("mkdbe", Some("mkdeb")),
        ("frobnicate", None),
        ("nvidia", None),
        ("zfs", None),
        ("", None),
    ];
    for (word, expected) in table {
        let text = unknown_action(&[word.to_owned()]).to_string();
        let meant = text.split_once("did you mean '").map(|(_, rest)| rest.trim_end_matches("'?"));
        assert_eq!(meant, expected, "{word}");
    }
}
