//! Reads one section of a large ELF file without reading the whole file: `.comment` of a `vmlinux`, which
//! names the compilers.

use crate::elf::reader::{Reader, string_at};
use std::io::{Read, Seek, SeekFrom};

/// Reads the section `name`, at most `limit` bytes of it. `None`: there is no such section, or it is not an
/// ELF file.
///
/// # Errors
/// The file cannot be read. A file that ends too early has no such section; that is not an error.
pub fn read_section(
    file: &mut (impl Read + Seek),
    name: &str,
    limit: usize,
) -> std::io::Result<Option<Vec<u8>>> {
    const NAMES_LIMIT: u64 = 1 << 20;
    let header = read_at(file, 0, 64)?;
    let Ok(reader) = Reader::any(&header) else { return Ok(None) };
    let length = u64::from(reader.section_size) * u64::from(reader.section_count);
    let sections = reader.headers(&read_at(file, reader.section_table, length)?);
    let Some(names) = sections.get(usize::from(reader.names_index)) else { return Ok(None) };
    let names = read_at(file, names.offset, names.size.min(NAMES_LIMIT))?;
    let name_of = |offset: u32| string_at(&names, usize::try_from(offset).unwrap_or(usize::MAX));
    match sections.iter().find(|section| name_of(section.name_offset) == name.as_bytes()) {
        Some(section) => read_at(file, section.offset, section.size.min(limit as u64)).map(Some),
        None => Ok(None),
    }
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_names_its_compiler() {
        let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let comment = read_section(&mut file, ".comment", 4096).unwrap().unwrap();
        assert!(String::from_utf8_lossy(&comment).contains("rustc"));
        assert_eq!(read_section(&mut file, ".no-such", 10).unwrap(), None);
    }

    #[test]
    fn other_files_have_no_sections() {
        for bytes in
            [&b""[..], b"\x7fELF\x02\x01", b"no elf at all", &[0x7f, b'E', b'L', b'F', 2, 1, 255, 255]]
        {
            assert_eq!(read_section(&mut std::io::Cursor::new(bytes), ".comment", 10).unwrap(), None);
        }
    }
}
