//! The kernels' own modules are valid: no refusal for their structure, and no sign of damage.

mod common;

use kmodule::verdict::{File, KernelView, Reason};
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the kernel packages that tests/fetch.sh downloads.
fn modules() -> Vec<PathBuf> {
    let build = std::env::var_os("DKMS_TEST_BUILD")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build"), PathBuf::from);
    let mut pending: Vec<PathBuf> =
        ["vm-6.1", "vm-6.12", "image-6.1"].map(|layer| build.join("layers").join(layer).join("root")).into();
    let mut found = Vec::new();
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_file() && path.to_string_lossy().contains(".ko") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn modules_of_kernels_are_valid() {
    // All 6,000 take minutes without optimization: UNDAMAGED_STEP=1.
    let step = std::env::var("UNDAMAGED_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(25);
    let files: Vec<PathBuf> = modules().into_iter().step_by(step).collect();
    if files.is_empty() {
        return common::skip("needs kernel packages, run tests/fetch.sh");
    }
    let mut wrong = Vec::new();
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let file = File::read(&bytes, 1 << 28);
        for release in ["6.1.0", "6.12.0", "6.18.0"] {
            let verdict = file.judge(&KernelView::new(release, "x86_64"));
            let structure = |reason: &&Reason| {
                !matches!(reason, Reason::Vermagic { .. } | Reason::NoSymvers | Reason::LoaderUnknown { .. })
            };
            for reason in verdict.refusals.iter().chain(&verdict.doubts).filter(structure) {
                wrong.push(format!("{release}: {}: {reason}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} modules:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

/// A 64-bit little-endian module that a test damages.
struct Damaged(Vec<u8>);

impl Damaged {
    fn number(&self, at: usize, length: usize) -> usize {
        self.0[at..at + length].iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
    }

    /// The offset of a section's header.
    fn header(&self, name: &str) -> usize {
        let (table, count, names) = (self.number(40, 8), self.number(60, 2), self.number(62, 2));
        let strings = self.number(table + 64 * names + 24, 8);
        let named = |header: &usize| {
            let start = strings + self.number(*header, 4);
            self.0[start..].starts_with(name.as_bytes()) && self.0[start + name.len()] == 0
        };
        (0..count).map(|index| table + 64 * index).find(named).unwrap_or_else(|| panic!("no section {name}"))
    }

    /// Start and end of a section's contents.
    fn contents(&self, name: &str) -> std::ops::Range<usize> {
        let header = self.header(name);
        let start = self.number(header + 24, 8);
        start..start + self.number(header + 32, 8)
    }

    fn put(&mut self, at: usize, length: usize, value: u64) {
        self.0[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
    }
}

type Damage = fn(&mut Damaged);

/// The damage, and the answer of kernels before 6.4, before 6.13 and since then: a code, or a part of the log
/// message.
const DAMAGES: &[(&str, Damage, [&str; 3])] = &[
    (
        "section 0 has a size",
        |m| {
            let at = m.number(40, 8);
            m.put(at + 32, 8, 1)
        },
        ["section 0"; 3],
    ),
    ("entry size", |m| m.put(58, 2, 40), ["Invalid ELF section header size"; 3]),
    ("too many sections", |m| m.put(60, 2, 0xffff), ["Invalid ELF section header overflow"; 3]),
    ("names in section 0", |m| m.put(62, 2, 0), ["Invalid ELF section name index"; 3]),
    (
        "names without end",
        |m| {
            let at = m.contents(".shstrtab").end;
            m.put(at - 1, 1, 1)
        },
        ["section name table isn't null terminated"; 3],
    ),
    (
        "sh_link",
        |m| {
            let at = m.header(".symtab");
            m.put(at + 40, 4, 999)
        },
        ["Invalid ELF sh_link"; 3],
    ),
    (
        "a loaded section's name",
        |m| {
            let at = m.header(".modinfo");
            m.put(at, 4, 0xff_ffff)
        },
        ["Invalid ELF section name in module"; 3],
    ),
    (
        "another section's name",
        |m| {
            let at = m.header(".comment");
            m.put(at, 4, 0xff_ffff)
        },
        ["unchecked-damage", "unchecked-damage", "Invalid ELF section name in module"],
    ),
    (
        "two .modinfo",
        |m| {
            let (from, to) = (m.header(".modinfo"), m.header(".comment"));
            let name = m.number(from, 4);
            m.put(to, 4, name as u64)
        },
        ["loads", "Only one .modinfo section must exist", "Only one .modinfo section must exist"],
    ),
    (
        "this_module is not loaded",
        |m| {
            let at = m.header(".gnu.linkonce.this_module");
            m.put(at + 8, 8, 1)
        },
        ["No module found in object", "must occupy memory", "must occupy memory"],
    ),
    (
        "this_module has no contents",
        |m| {
            let at = m.header(".gnu.linkonce.this_module");
            m.put(at + 4, 4, 8)
        },
        ["unchecked-damage", "this_module section must exist", "must have a size set"],
    ),
    (
        "no symbols",
        |m| {
            let at = m.header(".symtab");
            m.put(at + 4, 4, 1)
        },
        ["module has no symbols (stripped?)"; 3],
    ),
    (
        "symbol names without end",
        |m| {
            let at = m.contents(".strtab").end;
            m.put(at - 1, 1, 0x41)
        },
        ["loads", "loads", "symbol string table isn't NUL terminated"],
    ),
    (
        "a symbol's name",
        |m| {
            let at = m.contents(".symtab").start;
            m.put(at + 24, 4, 0xff_ffff)
        },
        ["unchecked-damage", "unchecked-damage", "symbol name out of bounds in string table"],
    ),
    (
        "writable code",
        |m| {
            let at = m.header(".init.text");
            m.put(at + 8, 8, 7)
        },
        ["has invalid WRITE|EXEC flags"; 3],
    ),
    (
        "a common symbol",
        |m| {
            let at = m.contents(".symtab").start;
            m.put(at + 24 + 6, 2, 0xfff2)
        },
        ["please compile with -fno-common"; 3],
    ),
    (
        "a symbol's section",
        |m| {
            let at = m.contents(".symtab").start;
            m.put(at + 24 + 6, 2, 0xfe00)
        },
        ["has an invalid section index 65024"; 3],
    ),
    (
        "a relocation's type",
        |m| {
            let at = m.contents(".rela.init.text").start;
            m.put(at + 8, 4, 99)
        },
        ["Unknown rela relocation: 99"; 3],
    ),
    (
        "a relocation for what is not empty",
        |m| {
            let at = m.contents(".init.text").start;
            let offset = m.contents(".rela.init.text").start;
            let to = m.number(offset, 8);
            m.put(at + to, 1, 1)
        },
        ["existing value is nonzero for type"; 3],
    ),
    (
        "a relocation's place",
        |m| {
            let at = m.contents(".rela.init.text").start;
            m.put(at, 8, 0xff_ffff)
        },
        ["unchecked-damage"; 3],
    ),
    (
        "a relocation's symbol",
        |m| {
            let at = m.contents(".rela.init.text").start;
            m.put(at + 12, 4, 0xff_ffff)
        },
        ["unchecked-damage"; 3],
    ),
    (
        "a table of relocations with another type",
        |m| {
            let at = m.header(".rela.init.text");
            m.put(at + 4, 4, 1)
        },
        ["unchecked-damage"; 3],
    ),
    (
        "relocations without addends",
        |m| {
            let at = m.header(".rela.init.text");
            m.put(at + 4, 4, 9)
        },
        ["REL relocation unsupported"; 3],
    ),
    (
        "alignment",
        |m| {
            let at = m.header(".init.text");
            m.put(at + 48, 8, 3)
        },
        ["unchecked-damage"; 3],
    ),
    (
        "no name",
        |m| {
            let at = m.contents(".gnu.linkonce.this_module").start;
            m.put(at + 24, 1, 0)
        },
        ["attempted to be registered with empty name"; 3],
    ),
];

#[test]
fn damage_is_refused_with_the_message_of_the_kernel() {
    let Some(path) = modules().into_iter().find(|path| path.ends_with("drivers/net/dummy.ko")) else {
        return common::skip("needs kernel packages, run tests/fetch.sh");
    };
    let whole = kmodule::sign::strip_signature(&fs::read(path).unwrap()).to_vec();
    for (what, damage, answers) in DAMAGES {
        let mut module = Damaged(whole.clone());
        damage(&mut module);
        for (release, answer) in ["6.1.0", "6.12.0", "6.13.0"].into_iter().zip(answers) {
            let verdict = File::read(&module.0, 0).judge(&KernelView::new(release, "x86_64"));
            let refusal = verdict.refusals.iter().find(|reason| !matches!(reason, Reason::Vermagic { .. }));
            let doubt = verdict.doubts.iter().find(|reason| !matches!(reason, Reason::NoSymvers));
            let found = match refusal.or(doubt) {
                None => "loads".to_owned(),
                Some(reason) => reason.log().unwrap_or_else(|| reason.code().to_owned()),
            };
            assert!(found.contains(answer), "{what}, {release}: {found}, {:?}", verdict);
        }
    }
}
