//! The expected values are those of bash; `tests/bash_is_right.rs` and `tests/styles.rs` run bash itself.

use super::*;

fn state() -> State {
    let mut state = State::default();
    for (name, value) in [("kernelver", "6.1.0-56-amd64"), ("arch", "x86_64"), ("dkms_tree", "/var/lib/dkms")]
    {
        state.variables.insert(name.into(), value.into());
    }
    state
}

fn contains(pattern: &str, text: &str) -> Result<bool, InvalidRegex> {
    if pattern == "(" {
        Err(InvalidRegex("unbalanced".into()))
    } else {
        Ok(text.contains(pattern.trim_start_matches('^')))
    }
}

fn run_with(text: &str, before: &State) -> Result<Directives, Decline> {
    evaluate(text.as_bytes(), before, Dialect::Module, &contains)
}

/// MAKE[0] after evaluation.
fn make(text: &str) -> Option<String> {
    run_with(text, &state()).expect(text).get("MAKE", 0).map(str::to_owned)
}

#[test]
fn values_after_both_passes() {
    for (text, value) in [
        ("", None),
        ("MAKE=a", Some("a")),
        ("MAKE=", Some("")),
        ("MAKE=\"a   b\n\t c\"", Some("a b c")),
        ("MAKE='  a  '", Some(" a ")),
        ("MAKE=\"a \\\n   b\"", Some("a b")),
        // Embedded quotes disappear, or end the assignment.
        ("MAKE=\"'make' X=\\\"y\\\"\"", Some("'make' X=y")),
        ("MAKE=\"make CC=\\\"gcc -O2\\\" all\"", None),
        ("MAKE='a\" PATCH=\"b'", Some("a")),
        ("MAKE=\"a\\\\\\\"b\"", Some("a\"b")),
        // The rest is expanded again, in a shell without the file's helper variables.
        ("MAKE='$kernelver'", Some("6.1.0-56-amd64")),
        ("PACKAGE_NAME=n\nMAKE='$PACKAGE_NAME'", Some("n")),
        ("MAKE='$PATCH'\nPATCH=p", Some("")),
        ("MAKE='\\$x'", Some("$x")),
        // Carriage returns.
        ("MAKE=a\r\n\r\n# c\r\n", Some("a")),
        ("MAKE=\"a\"\r\n", Some("a")),
        ("MAKE=\"a\r\n b\"\r\n", Some("a\r b")),
        ("MAKE=a \r\n", None),
        // Expansion.
        ("x=1.2~rc1\nMAKE=$x", Some("1.2~rc1")),
        ("MAKE=${kernelver%%-*}", Some("6.1.0")),
        ("MAKE=${kernelver#*.}", Some("1.0-56-amd64")),
        ("MAKE=${kernelver##*-}", Some("amd64")),
        ("MAKE=${kernelver%[0-9]*}", Some("6.1.0-56-amd6")),
        ("MAKE=${kernelver//[.-]/_}", Some("6_1_0_56_amd64")),
        ("MAKE=${kernelver/-/ }", Some("6.1.0 56-amd64")),
        ("MAKE=\"${#arch}${PATCH:-none}${PATCH+set}${arch:+ yes}\"", Some("6none yes")),
        ("MAKE=(a [0]=b c)", Some("b")),
        ("x=(p q)\nMAKE=${x[1]}${#x[@]}", Some("q2")),
        ("x='a b'\nPATCH=($x)\nMAKE=${PATCH[1]}", Some("b")),
        ("MAKE=a; MAKE+=b; MAKE+=(c)", Some("ab")),
        ("MAKE=a MAKE=b", Some("b")),
        ("i=0\ni=$((i + 1))\nPATCH[i]=x\nPATCH[$i]+=y\nMAKE=$PATCH${PATCH[1]}", Some("xy")),
        // Conditions.
        ("if [ \"$arch\" = x86_64 ]; then MAKE=a; else MAKE=b; fi", Some("a")),
        ("[[ $kernelver == 6.1* && ! -z $arch ]] && MAKE=a || MAKE=b", Some("a")),
        ("[[ $kernelver =~ ^6.1 || $unknown ]] && MAKE=a", Some("a")),
        ("false || true && ! false && MAKE=a", Some("a")),
        ("case $kernelver in 5.*|4.*) MAKE=old;; *) MAKE=new; esac", Some("new")),
        ("export x=\"a b\"\nMAKE=$x", Some("a b")),
        ("MAKE=a\nunset MAKE", None),
        ("MAKE=a\nMAKE=()", None),
    ] {
        assert_eq!(make(text).as_deref(), value, "{text:?}");
    }
}

#[test]
fn declines_with_the_place() {
    for (text, line, column, part) in [
        ("A=1\nMAKE=$(uname -r)", 2, 6, "command substitution"),
        ("MAKE=$HOME", 1, 6, "variable 'HOME'"),
        ("MAKE=\"é$JOBS\"", 1, 8, "variable 'JOBS'"),
        ("make -C x", 1, 1, "command 'make'"),
        ("fi\r\n", 1, 1, "command 'fi\\r'"),
        ("x=a\n\nMAKE='$x'", 3, 1, "second evaluation in MAKE[0]"),
        ("MAKE='`ls`'", 1, 1, "command substitution, remaining for the second"),
        ("MAKE='a\" unset \"b'", 1, 1, "command, remaining for"),
        ("MAKE='make /usr/*'", 1, 1, "pathname expansion"),
        ("MAKE=(*.c)", 1, 7, "pathname or brace"),
        ("MAKE=([1]={a,b})", 1, 7, "brace"),
        ("PATH=/bin", 1, 1, "special variable"),
        ("[[ a =~ ( ]]", 1, 10, "regular expression"),
        ("x='('\n[[ a =~ $x ]]", 2, 9, "unbalanced"),
        ("MAKE[999999]=a", 1, 6, "subscript"),
        ("MAKE[08]=a", 1, 6, "subscript"),
        ("[ -f /x ] && MAKE=a", 1, 1, "unsupported test"),
        ("i=8\r\necho ${PATCH[i]}", 2, 14, "subscript"),
        ("x=(1) x=([x]=2)", 1, 10, "its own subscript"),
    ] {
        let decline = run_with(text, &state()).expect_err(text);
        assert_eq!((decline.line, decline.column), (line, column), "{text:?}: {decline}");
        assert!(decline.construct.contains(part), "{text:?}: {decline}");
    }
    let decline = evaluate(b"A=1\nB=\xff", &state(), Dialect::Module, &contains).expect_err("not UTF-8");
    assert_eq!((decline.line, decline.column), (2, 3));
}

#[test]
fn earlier_files_stay_unless_overridden() {
    let mut before = state();
    before.directives.set("MAKE", 0, "old");
    before.directives.set("MAKE", 2, "two");
    before.directives.set("CLEAN", 0, "a\\\\b");
    let after = run_with("MAKE=\"$MAKE new\"\nPATCH[3]=p", &before).expect("native");
    let all: Vec<_> = after.iter().collect();
    // CLEAN went through the second pass once more, as in dkms 3.
    assert_eq!(all, [("CLEAN", 0, "a\\b"), ("MAKE", 0, "old new"), ("MAKE", 2, "two"), ("PATCH", 3, "p")]);
    // A file cannot unset what an earlier one set.
    let kept = run_with("unset MAKE", &before).expect("native");
    assert_eq!(kept.scalar("MAKE"), "old");
}

#[test]
fn the_framework_dialect_knows_its_own_names() {
    let text = b"sign_file=/lib/modules/$kernelver/sign-file\ndkms_tree+=/x\nMAKE=no\n";
    let after = evaluate(text, &state(), Dialect::Framework, &contains).expect("native");
    let all: Vec<_> = after.iter().collect();
    assert_eq!(
        all,
        [("dkms_tree", 0, "/var/lib/dkms/x"), ("sign_file", 0, "/lib/modules/6.1.0-56-amd64/sign-file")]
    );
}

#[test]
fn bombs_are_declined_soon() {
    let doubling = "x=0123456789\n".to_owned() + &"x=$x$x\n".repeat(60);
    let growing = "x=1\n".to_owned() + &"x=\"$x 23456789\"\n".repeat(50_000);
    let stars = format!("x={}\nMAKE=${{x%%{}b}}", "a".repeat(50_000), "a*".repeat(50));
    let tests = "[[ ".to_owned() + &"a && ".repeat(100_000) + "a ]] && MAKE=1";
    let chain = "true && ".repeat(100_000) + "MAKE=1";
    for (text, native) in [(doubling, false), (growing, false), (stars, false), (tests, true), (chain, true)]
    {
        assert_eq!(run_with(&text, &state()).is_ok(), native);
    }
    assert!(evaluate(&vec![b'#'; MAX_TEXT + 1], &state(), Dialect::Module, &contains).is_err());
}
