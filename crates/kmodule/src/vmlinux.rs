//! Reads one section of a large ELF file without reading the whole file: `.comment` of a `vmlinux`, which
//! names the compilers (ELF-64 and ELF-32, both byte orders; System V ABI, chapter 4).

use std::io::{Read, Seek, SeekFrom};

/// Reads the section `name`, at most `limit` bytes of it. `None`: there is no such section, or it is not an
/// ELF file.
///
/// # Errors
/// When the file cannot be read. A file that ends too early has no such section; that is not an error.
pub fn read_section(
    file: &mut (impl Read + Seek),
    name: &str,
    limit: usize,
) -> std::io::Result<Option<Vec<u8>>> {
    let header = read_at(file, 0, 64)?;
    let (wide, little) = match header.get(..6) {
        Some([0x7f, b'E', b'L', b'F', class @ (1 | 2), data @ (1 | 2)]) => (*class == 2, *data == 1),
        _ => return Ok(None),
    };
    let number = |bytes: Option<&[u8]>| -> Option<u64> {
        let add = |n: u64, b: &u8| n << 8 | u64::from(*b);
        let bytes = bytes?;
        Some(if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    };
    let fields = if wide { (0x28..0x30, 0x3a, 0x3c, 0x3e) } else { (0x20..0x24, 0x2e, 0x30, 0x32) };
    let half = |at: usize| number(header.get(at..at + 2));
    let (Some(table), Some(size), Some(count), Some(names)) =
        (number(header.get(fields.0)), half(fields.1), half(fields.2), half(fields.3))
    else {
        return Ok(None);
    };
    let headers = read_at(file, table, usize::try_from(size * count).unwrap_or(0))?;
    let size = usize::try_from(size).unwrap_or(0);
    let section = |n: usize| -> Option<(u64, u64, u64)> {
        let header = headers.get(n.checked_mul(size)?..n.checked_mul(size)?.checked_add(size)?)?;
        let (offset, length) = if wide { (0x18..0x20, 0x20..0x28) } else { (0x10..0x14, 0x14..0x18) };
        Some((number(header.get(..4))?, number(header.get(offset))?, number(header.get(length))?))
    };
    let Some((_, at, length)) = usize::try_from(names).ok().and_then(section) else { return Ok(None) };
    let names = read_at(file, at, usize::try_from(length).unwrap_or(0).min(1 << 20))?;
    for n in 0..usize::try_from(count).unwrap_or(0) {
        let Some((label, at, length)) = section(n) else { break };
        let label = usize::try_from(label).ok().and_then(|l| names.get(l..)).unwrap_or_default();
        if label.split(|b| *b == 0).next() == Some(name.as_bytes()) {
            return read_at(file, at, usize::try_from(length).unwrap_or(0).min(limit)).map(Some);
        }
    }
    Ok(None)
}

fn read_at(file: &mut (impl Read + Seek), at: u64, length: usize) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes)?;
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
