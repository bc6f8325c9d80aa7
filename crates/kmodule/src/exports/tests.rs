use super::{ExportsError, read_module, read_vmlinux};
use crate::elf::ElfError;

/// An ELF-64 file, little endian, of named sections without addresses.
fn object(e_type: u8, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut names = b"\0.shstrtab\0".to_vec();
    let mut body = Vec::new();
    let mut table = vec![0; 64];
    let mut header = |name: usize, kind: u32, offset: usize, size: usize| {
        table.extend_from_slice(&u32::try_from(name).unwrap().to_le_bytes());
        table.extend_from_slice(&kind.to_le_bytes());
        table.extend_from_slice(&2_u64.to_le_bytes());
        for number in [0, 64 + offset, size, 0, 1, 0] {
            table.extend_from_slice(&(number as u64).to_le_bytes());
        }
    };
    for (name, bytes) in sections {
        header(names.len(), 1, body.len(), bytes.len());
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        body.extend_from_slice(bytes);
    }
    header(1, 3, body.len(), names.len());
    body.extend_from_slice(&names);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    (file[16], file[18]) = (e_type, 62);
    file[40..48].copy_from_slice(&(64 + body.len() as u64).to_le_bytes());
    let count = u8::try_from(sections.len() + 2).unwrap();
    (file[58], file[60], file[62]) = (64, count, count - 1);
    [file, body, table].concat()
}

#[test]
fn missing_and_damaged_tables_are_reported() {
    // One entry at address 0, whose name is at offset 1 of the strings, which are at address 0 as well.
    let entry: &[u8] = &[64, 0, 0, 0, 0xfd, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let strings: (&str, &[u8]) = ("__ksymtab_strings", b"\0name\0");
    let good = [("__ksymtab_gpl", entry), strings, ("__kcrctab_gpl", &[1, 2, 3, 4])];
    let list = read_vmlinux(&object(2, &good)).unwrap();
    let found = list.lookup("name").unwrap();
    assert_eq!(
        (found.crc, found.module, found.export_gpl, found.namespace),
        (0x0403_0201, "vmlinux", true, None)
    );

    let with = |name: &'static str, bytes: &'static [u8]| {
        let mut sections = good.to_vec();
        sections.retain(|section| section.0 != name);
        sections.push((name, bytes));
        read_vmlinux(&object(2, &sections)).map(|list| list.lookup("name").map(|found| found.crc))
    };
    assert_eq!(with("__kflagstab_gpl", &[0]), Ok(Some(0x0403_0201)));
    for (name, bytes, section) in [
        ("__ksymtab_gpl", &entry[..11], "__ksymtab_gpl"),
        ("__ksymtab_gpl", &[0; 12], "__ksymtab_gpl"),
        ("__ksymtab_strings", b"\0name", "__ksymtab_gpl"),
        ("__ksymtab_strings", b"\0na\tme\0", "__ksymtab_gpl"),
        ("__ksymtab_strings", b"\0na\xffme\0", "__ksymtab_gpl"),
        ("__kcrctab_gpl", &[1, 2, 3], "__kcrctab_gpl"),
        ("__kcrctab_gpl", &[], "__kcrctab_gpl"),
        ("__kflagstab_gpl", &[1, 1], "__kflagstab_gpl"),
    ] {
        match with(name, bytes) {
            Err(ExportsError::Damaged { section: found, .. }) => assert_eq!(found, section),
            other => panic!("{name} {bytes:?}: {other:?}"),
        }
    }
}

#[test]
fn files_without_exports() {
    assert_eq!(read_vmlinux(&object(2, &[(".text", b"code")])).err(), Some(ExportsError::NoTable));
    let strings: [(&str, &[u8]); 1] = [("__ksymtab_strings", b"\0")];
    assert_eq!(read_vmlinux(&object(2, &strings)).err(), Some(ExportsError::NoTable));
    assert!(read_module(&object(1, &[(".text", b"code")]), "m").unwrap().is_empty());
    let error = read_module(&object(2, &[]), "m").err();
    assert_eq!(error, Some(ExportsError::Elf(ElfError::WrongType { e_type: 2 })));
    assert!(matches!(read_vmlinux(b"MZ"), Err(ExportsError::Elf(ElfError::NotElf { .. }))));
    let mut bare = object(2, &[]);
    bare[40..48].fill(0);
    assert_eq!(read_vmlinux(&bare).err(), Some(ExportsError::Elf(ElfError::NoSections)));
}
