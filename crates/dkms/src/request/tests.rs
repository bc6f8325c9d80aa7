use super::*;

fn read(line: &str) -> Arguments {
    let words = std::iter::once("dkms").chain(line.split_whitespace()).map(std::ffi::OsString::from);
    Arguments::read(words).unwrap_or_else(|_| panic!("{line}"))
}

#[test]
fn words_as_package_scripts_write_them() {
    // What Debian's and Fedora's maintainer scripts, hooks and people call.
    let table = [
        ("add -m foo -v 1.0", Action::Add, "foo", "1.0"),
        ("remove -m foo -v 1.0 --all", Action::Remove, "foo", "1.0"),
        ("build -m foo/1.0 -k 6.1.0", Action::Build, "foo", "1.0"),
        ("install foo/1.0 -k 6.1.0/x86_64", Action::Install, "foo", "1.0"),
        ("-k 6.1.0 -m foo -v 1.0 build", Action::Build, "foo", "1.0"),
        ("install --module=foo/1.0 --kernelver=6.1.0 --arch=x86_64", Action::Install, "foo", "1.0"),
        ("uninstall --module foo/1.0 --kernelver 6.1.0", Action::Uninstall, "foo", "1.0"),
        ("unbuild -m=foo -v=1.0 -k=6.1.0", Action::Unbuild, "foo", "1.0"),
        ("add -m foo -v 1.0 --rpm_safe_upgrade", Action::Add, "foo", "1.0"),
        ("mktarball foo/1.0 --binaries-only", Action::Mktarball, "foo", "1.0"),
    ];
    for (line, action, name, version) in table {
        let arguments = read(line);
        let subject = Subject::from_arguments(&arguments).unwrap();
        assert_eq!(arguments.action, Some(action), "{line}");
        assert_eq!(subject.name.as_deref(), Some(name), "{line}");
        assert_eq!(subject.version.as_deref(), Some(version), "{line}");
    }
}

#[test]
fn kernels_and_architectures_pair_up() {
    let pairs = |line: &str| check(&read(line)).map(|w| (w.releases, w.arches));
    let all = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    assert_eq!(pairs("build a/1 -k 6.1 -k 6.2 -a x").unwrap(), (all(&["6.1", "6.2"]), all(&["x"])));
    assert_eq!(pairs("build a/1 -k 6.1/x -k 6.2/y").unwrap(), (all(&["6.1", "6.2"]), all(&["x", "y"])));
    let table = [
        ("build a/1 -k 6.1 -a x -a y", 1),
        ("remove a/1 --all -k 6.1", 2),
        ("remove a/1 --all -a x", 3),
        ("mktarball a/1 --binaries-only --source-only", 8),
        ("install a/1 --repair", 2),
        ("config a/1 --fix", 2),
        ("install a/1 --all-kernels", 2),
        ("autoinstall --all-kernels -k 6.1", 2),
        ("autoinstall --all-kernels --all", 2),
        ("add a/1 --all", 5),
        ("build a/1 --all", 5),
        ("match --templatekernel 6.1 --all", 5),
        ("ready --all", 5),
        ("kernel_prerm --all", 5),
    ];
    for (line, code) in table {
        assert_eq!(crate::exit::code(&check(&read(line)).unwrap_err()), code, "{line}");
    }
}

#[test]
fn empty_values_are_absent() {
    let read = |words: &[&str]| {
        let words = std::iter::once(&"dkms").chain(words).map(std::ffi::OsString::from);
        Arguments::read(words).unwrap_or_else(|_| panic!("not read"))
    };
    let named = |words: &[&str]| {
        let subject = Subject::from_arguments(&read(words)).unwrap();
        (subject.name.unwrap_or_default(), subject.version.unwrap_or_default())
    };
    for (words, name, version) in [
        (&["status", "probe/"][..], "probe", ""),
        (&["status", "-m", "probe/"], "probe", ""),
        (&["status", "-m", "/1.0"], "", "1.0"),
        (&["status", "-m", "probe/1.0", "-v", ""], "probe", "1.0"),
        (&["status", "-m", "probe/", "-v", "1.0"], "probe", "1.0"),
        (&["status", "-m", "", "probe/1.0"], "probe", "1.0"),
    ] {
        assert_eq!(named(words), (name.into(), version.into()), "{words:?}");
    }
    let kernels = |words: &[&str]| {
        let words = check(&read(words)).unwrap();
        (words.releases.join(" "), words.arches.join(" "))
    };
    for (words, releases, arches) in [
        (&["build", "-k", "6.1/"][..], "6.1", ""),
        (&["build", "-k", "/x"], "", "x"),
        (&["build", "-k", "/"], "", ""),
        (&["build", "-k", "6.1", "-a", "", "-k", "", "-k", "6.2/", "-a", "x"], "6.1 6.2", "x"),
        (&["remove", "--all", "-k", "", "-a", ""], "", ""),
    ] {
        assert_eq!(kernels(words), (releases.into(), arches.into()), "{words:?}");
    }
}

#[test]
fn a_missing_archive_is_an_archive() {
    let subject = Subject::from_arguments(&read("ldtarball ./none.tar.gz")).unwrap();
    assert_eq!(subject.archive, Some(PathBuf::from("./none.tar.gz")));
}

#[test]
fn options_without_effect_are_named_once() {
    let table = [
        ("status --force --no-depmod", "--no-depmod, --force have no effect on status"),
        ("add a/1 --spec x", "--spec has no effect on add"),
        ("build a/1 --no-depmod", "--no-depmod has no effect on build"),
        ("remove a/1 -j 4", "-j has no effect on remove"),
        ("autoinstall -m a", "--module has no effect on autoinstall"),
        ("verify --archive x", "--archive has no effect on verify"),
        ("autoinstall zfs", "'zfs' has no effect on autoinstall"),
    ];
    for (line, expected) in table {
        let words = read(line);
        let text = without_effect(&words).unwrap_or_default();
        let (named, rest) = text.split_once(':').unwrap_or_default();
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split([',', ' ']).map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(named), sorted(expected), "{line}");
        assert!(rest.contains(&format!("'dkms help {}'", words.action_word())), "{rest}");
    }
}

#[test]
fn what_scripts_of_3_x_pass_gives_no_warning() {
    let lines = [
        // Maintainer scripts of Debian's and Ubuntu's packages, and dh_dkms.
        "add -m foo -v 1.0",
        "remove -m foo -v 1.0 --all",
        "remove foo/1.0 --all --no-depmod --force",
        "build -m foo -v 1.0 -k 6.1.0 -a x86_64 --force",
        "install -m foo -v 1.0 -k 6.1.0 -a x86_64 --force --no-depmod",
        "ldtarball -m foo -v 1.0 --archive /x.dkms.tar.gz",
        "ldtarball --archive=/x.dkms.tar.gz --force",
        // Scriptlets of RPM packages.
        "add -m foo -v 1.0 --rpm_safe_upgrade -q",
        "build -m foo -v 1.0 --rpm_safe_upgrade -q",
        "install -m foo -v 1.0 --force --rpm_safe_upgrade -q",
        "uninstall -m foo -v 1.0 --all --rpm_safe_upgrade",
        "remove -m foo -v 1.0 --all --rpm_safe_upgrade --quiet",
        // Hooks for kernels.
        "autoinstall --kernelver 6.1.0 --arch x86_64 -j 4",
        "kernel_postinst -k 6.1.0 -a x86_64",
        "kernel_prerm -k 6.1.0 --verbose",
        "kernel_preinst -k 6.1.0/x86_64",
        // People and the scripts of vendors.
        "status -m foo -v 1.0 -k 6.1.0 -a x86_64",
        "status --all",
        "add /x --directive AUTOINSTALL=no -c /x/dkms.conf -k 6.1.0 -a x86_64",
        "build foo/1.0 --kernelsourcedir /x --config /y -c /z --directive A=b -j 0",
        "unbuild foo/1.0 -k 6.1.0 --directive A=b --force",
        "match --templatekernel 6.1.0 -k 6.2.0 --no-depmod --kernelsourcedir /x",
        "mktarball -m foo -v 1.0 --source-only --archive x.tar.gz --force",
        "status --no-initrd --no-clean-kernel --no-prepare-kernel --legacy-postinst=1",
        "generate_mok --dkmstree /x --sourcetree /y --installtree /z --verbose --debug",
    ];
    for line in lines {
        let arguments = read(line);
        assert_eq!(without_effect(&arguments), None, "{line}");
        assert!(check(&arguments).is_ok(), "{line}");
    }
}

#[test]
fn misspelt_words_of_an_action_are_recognised() {
    for (line, expected) in [
        ("mok enrol", "did you mean 'dkms mok enroll'?"),
        ("mok zfs", "status, enroll, rotate, but not 'zfs'"),
    ] {
        let error = check(&read(line)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(crate::exit::code(&error), 2);
    }
    assert!(check(&read("mok rotate")).is_ok());
}
