//! The inputs of a build that a machine without compiler and headers can determine ([decision
//! 24](../../../../docs/decisions/0024-machines-without-a-compiler.md)).

use dkms_bundle::record::fingerprint;

/// The names of the lines in a fingerprint that describe the source and the kernel, but not the tools.
const KNOWN: [&str; 8] =
    ["schema", "builder", "arch", "kernel", "source", "directives", "scripts", super::fleet::LINE];

/// The beginnings of further lines of this kind.
const KNOWN_BEGINNINGS: [&str; 2] = ["script=", "depends="];

/// The names of the lines about the headers. They must be equal if this machine has the headers.
const COMPARED: [&str; 3] = ["symvers", "autoconf", "utsrelease"];

/// Returns the tag of a build for lookups without the tools: `k1-` and the digest of the package and of the
/// lines that every machine can determine.
pub(super) fn tag(package: &str, version: &str, lines: &[String]) -> String {
    let mut known: Vec<String> = lines.iter().filter(|line| is_known(line)).cloned().collect();
    known.extend([format!("package={package}"), format!("version={version}")]);
    known.sort();
    format!("k1-{}", fingerprint(&known))
}

fn is_known(line: &str) -> bool {
    let has_name = |name: &&str| line.strip_prefix(*name).is_some_and(|rest| rest.starts_with('='));
    KNOWN.iter().any(has_name) || KNOWN_BEGINNINGS.iter().any(|begin| line.starts_with(begin))
}

/// Returns the first line of this machine about the headers that differs; `None` if all are equal or missing
/// here.
pub(super) fn difference<'a>(ours: &'a [String], theirs: &[String]) -> Option<&'a str> {
    let value = |lines: &'_ [String], name: &str| -> Option<String> {
        lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let differs = |name: &&str| {
        let own = value(ours, name).filter(|own| own != "absent" && !own.is_empty());
        own.is_some_and(|own| value(theirs, name) != Some(own))
    };
    let name = COMPARED.into_iter().find(|name| differs(name))?;
    ours.iter().find(|line| line.starts_with(name)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(changes: &[&str]) -> Vec<String> {
        let base = [
            "arch=x86_64",
            "autoconf=a1",
            "compiler=gcc 12",
            "depends=base=d1",
            "directives=d",
            "kernel=6.1",
            "make=make -C x",
            "script=PRE_BUILD=s",
            "source=s1",
            "symvers=v1",
            "tool=ld=x",
            "utsrelease=u1",
        ];
        let name = |line: &str| line.split('=').next().map(str::to_owned);
        let changed = |line: &str| changes.iter().find(|c| name(c) == name(line)).copied();
        base.iter().map(|line| changed(line).unwrap_or(line).to_owned()).collect()
    }

    #[test]
    fn tools_and_headers_are_not_part_of_the_tag() {
        let tag = |lines: &[String]| tag("hello", "1.0", lines);
        let base = tag(&lines(&[]));
        assert!(base.starts_with("k1-") && base.len() == 67);
        for line in ["compiler=absent", "symvers=absent", "make=make", "tool=ld=absent"] {
            assert_eq!(base, tag(&lines(&[line])), "{line}");
        }
        for line in
            ["arch=i686", "kernel=6.2", "source=s2", "directives=e", "script=PRE_BUILD=t", "depends=base=d2"]
        {
            assert_ne!(base, tag(&lines(&[line])), "{line}");
        }
        assert_ne!(base, super::tag("hello", "1.1", &lines(&[])));
        assert_ne!(base, super::tag("hallo", "1.0", &lines(&[])));
    }

    #[test]
    fn what_this_machine_has_must_be_equal() {
        let theirs = lines(&[]);
        assert_eq!(
            difference(&lines(&["symvers=absent", "autoconf=absent", "utsrelease=absent"]), &theirs),
            None
        );
        assert_eq!(difference(&lines(&["compiler=other"]), &theirs), None);
        assert_eq!(difference(&lines(&["symvers=v2"]), &theirs), Some("symvers=v2"));
        assert_eq!(difference(&lines(&["utsrelease=u2", "symvers=absent"]), &theirs), Some("utsrelease=u2"));
    }
}
