use super::{InitramfsError, entries, entries_within, module_names, parse_module_path};
use crate::compress::{Options, compress};
use crate::compression::Compression;
use crate::name::ModuleName;

fn entry(mode: u32, path: &str, content: &[u8]) -> Vec<u8> {
    let mut entry = b"070701".to_vec();
    let numbers = [1, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, path.len() + 1, 0];
    for number in numbers {
        entry.extend_from_slice(format!("{number:08X}").as_bytes());
    }
    entry.extend_from_slice(path.as_bytes());
    entry.push(0);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry.extend_from_slice(content);
    entry.resize(entry.len().next_multiple_of(4), 0);
    entry
}

fn trailer() -> Vec<u8> {
    entry(0, "TRAILER!!!", b"")
}

fn early() -> Vec<u8> {
    [entry(0o100_644, "kernel/x86/microcode/GenuineIntel.bin", b"microcode"), trailer(), vec![0; 32]].concat()
}

fn main_archive() -> Vec<u8> {
    [
        entry(0o120_777, "lib", b"usr/lib"),
        entry(0o40_755, "usr/lib/modules/6.1/kernel", b""),
        entry(0o100_644, "usr/lib/modules/6.1/kernel/a-b.ko.xz", b"12345"),
        trailer(),
    ]
    .concat()
}

/// The archive as it is, and in every format of modules.
const FORMATS: [Option<Compression>; 4] =
    [None, Some(Compression::Gzip), Some(Compression::Xz), Some(Compression::Zstd)];

fn compressed(format: Compression, data: &[u8]) -> Vec<u8> {
    compress(data, &Options::for_modules(format).unwrap()).unwrap()
}

fn packed(format: Option<Compression>) -> Vec<u8> {
    format.map_or_else(main_archive, |format| compressed(format, &main_archive()))
}

fn list(bytes: &[u8]) -> Result<Vec<String>, InitramfsError> {
    let mut found = Vec::new();
    entries(&mut &bytes[..], &mut |entry| {
        let target = entry.target.unwrap_or_default();
        found.push(format!("{:o} {} {} {target}", entry.mode, entry.path, entry.size));
    })?;
    Ok(found)
}

const MICROCODE: &str = "100644 kernel/x86/microcode/GenuineIntel.bin 9 ";
const MAIN: [&str; 3] = [
    "120777 lib 7 usr/lib",
    "40755 usr/lib/modules/6.1/kernel 0 ",
    "100644 usr/lib/modules/6.1/kernel/a-b.ko.xz 5 ",
];

#[test]
fn parts_in_every_order() {
    let all: Vec<&str> = [MICROCODE].into_iter().chain(MAIN).collect();
    for format in FORMATS {
        assert_eq!(list(&[early(), packed(format)].concat()).unwrap(), all, "{format:?}");
        assert_eq!(list(&[vec![0; 512], packed(format), vec![0; 512]].concat()).unwrap(), MAIN);
        let mut padded = packed(format);
        padded.resize(padded.len().next_multiple_of(4), 0);
        let two = [padded, early(), packed(Some(Compression::Xz))].concat();
        assert_eq!(list(&two).unwrap(), [&MAIN[..], &[MICROCODE], &MAIN].concat());
        let names = module_names(&mut &two[..]).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), [("6.1".to_owned(), ModuleName::new("a-b"))]);
        let config = b"kernel.loglevel = 7\n\0\0\x14\0\0\0\x42\0\0\0#BOOTCONFIG\n";
        assert_eq!(list(&[&packed(format), &config[..]].concat()).unwrap(), MAIN);
    }
}

#[test]
fn module_paths() {
    for (path, expected) in [
        ("lib/modules/6.1.0-9-amd64/kernel/fs/ext4/ext4.ko", Some(("6.1.0-9-amd64", "ext4"))),
        ("./usr/lib/modules/6.1/updates/dkms/v4l2-loopback.ko.zst", Some(("6.1", "v4l2_loopback"))),
        ("/lib/modules/6.1/x.ko.gz", Some(("6.1", "x"))),
        ("lib/modules/6.1/modules.dep", None),
        ("lib/modules/x.ko", None),
        ("lib/modules/6.1/.ko", None),
        ("lib/modules/6.1/x.ko.bak", None),
        ("lib/modules/6.1/x.ko/y", None),
        ("root/lib/modules/6.1/x.ko", None),
    ] {
        let expected = expected.map(|(release, name)| (release.to_owned(), ModuleName::new(name)));
        assert_eq!(parse_module_path(path), expected, "{path}");
    }
}

#[test]
fn damage_is_reported_with_its_position() {
    let begin = early().len();
    let whole = [early(), packed(Some(Compression::Gzip))].concat();
    let broken = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        list(&bytes).unwrap_err().to_string()
    };
    let last = whole.len() - 6;
    for (error, words) in [
        (list(b"").unwrap_err().to_string(), "is empty"),
        (list(&[0; 999]).unwrap_err().to_string(), "is empty"),
        (list(&[0x20; 999]).unwrap_err().to_string(), "compressed data at byte 0"),
        (broken(2, b'8'), "at byte 0: the entry at byte 0: not a cpio header"),
        (broken(5, b'7'), "an old cpio format"),
        (broken(14, b'x'), "is not a number"),
        (broken(14, b'+'), "is not a number"),
        (broken(6 + 88, b'1'), "the length of its name"),
        (broken(6 + 48, b'1'), "is cut short"),
        (broken(begin, 0x20), &format!("compressed data at byte {begin}")),
        (broken(last, !whole[last]), &format!("in the gzip that begins at byte {begin}")),
    ] {
        assert!(error.contains(words), "{error} / {words}");
    }
    let lzo = [&early(), &b"\x89LZO\0\r\n\x1a\n"[..]].concat();
    assert!(matches!(
        list(&lzo),
        Err(InitramfsError::Unreadable { offset, format: Compression::Lzo }) if offset == begin as u64
    ));
    let junk = compressed(Compression::Xz, &[main_archive(), b"junk".to_vec()].concat());
    assert!(list(&junk).unwrap_err().to_string().contains("not an archive"));
    assert!(list(&entry(0o100_644, "a", b"b")).unwrap_err().to_string().contains("no end"));
    let text = [&early(), &b"kernel.x = y\n#BOOTCONFIG\nmore"[..]].concat();
    assert!(matches!(list(&text), Err(InitramfsError::Unknown { offset }) if offset == begin as u64));
    // An archive does not begin at an odd offset.
    assert!(matches!(list(&[&early(), &[0][..], &early()].concat()), Err(InitramfsError::Unknown { .. })));
}

#[test]
fn images_that_expand_too_far_are_errors() {
    let big = [entry(0o100_644, "a", &vec![0; 5_000_000]), trailer()].concat();
    let length = big.len() as u64;
    for format in Compression::OF_MODULES {
        let bytes = [early(), compressed(format, &big)].concat();
        entries_within(&mut &bytes[..], length, &mut |_| {}).unwrap();
        for limit in [length - 1, 100] {
            let result = entries_within(&mut &bytes[..], limit, &mut |_| {});
            let begin = early().len() as u64;
            assert!(matches!(result, Err(InitramfsError::TooLarge { offset }) if offset == begin));
        }
        // The limit is for all parts together.
        let twice = [&bytes[..], &vec![0; 8 - bytes.len() % 4], &bytes].concat();
        assert!(matches!(
            entries_within(&mut &twice[..], length, &mut |_| {}),
            Err(InitramfsError::TooLarge { .. })
        ));
    }
}

#[test]
fn cut_at_every_byte() {
    for format in FORMATS {
        let whole = [early(), packed(format)].concat();
        for length in 0..whole.len() {
            match list(&whole[..length]) {
                Err(_) => {}
                // Cut between two parts, the image looks complete.
                Ok(found) => {
                    let archive = early().len() - 32;
                    assert!((archive..=early().len()).contains(&length), "{format:?} {length}");
                    assert_eq!(found, [MICROCODE]);
                }
            }
        }
    }
}
