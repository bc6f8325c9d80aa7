//! The fields of linked kernel images: addresses, or distances from their own address.

use super::table::{ExportsError, Layout, TableReader, Target, find_names, name_at};
use crate::elf::reader::{Reader, Section, low_word};
use crate::elf::{Class, ElfError};

pub(super) struct Image<'r, 'a> {
    reader: &'r Reader<'a>,
    sections: &'r [Section<'a>],
    /// Address and bytes of the loaded sections, sorted by address.
    loaded: Vec<(u64, &'a [u8])>,
    /// Address and bytes of the names.
    strings: (u64, &'a [u8]),
}

pub(super) struct Table<'a> {
    address: u64,
    bytes: &'a [u8],
}

impl<'r, 'a> Image<'r, 'a> {
    pub(super) fn new(
        reader: &'r Reader<'a>,
        sections: &'r [Section<'a>],
    ) -> Result<Image<'r, 'a>, ExportsError> {
        let (index, bytes) = find_names(reader, sections)?.ok_or(ExportsError::NoTable)?;
        let address = sections.get(index).map_or(0, |section| section.address);
        let loaded = sections.iter().filter(|section| section.is_loaded());
        let mut loaded: Vec<(u64, &[u8])> = loaded
            .map(|section| Ok((section.address, reader.contents(section)?)))
            .collect::<Result<_, ElfError>>()?;
        loaded.sort_by_key(|(address, _)| *address);
        Ok(Image { reader, sections, loaded, strings: (address, bytes) })
    }

    /// The address that a distance leads to, truncated to the width of addresses.
    fn relative(&self, table: &Table<'_>, at: usize) -> u64 {
        let distance = self.reader.sign_extended(table.bytes, at, 4);
        let address = table.address.wrapping_add(at as u64).wrapping_add(distance);
        if self.reader.class == Class::Elf32 { address & 0xffff_ffff } else { address }
    }

    /// The number in the four bytes at an address.
    fn number_at(&self, address: u64) -> Option<u32> {
        let after = self.loaded.partition_point(|(begin, _)| *begin <= address);
        let (begin, bytes) = self.loaded.get(after.checked_sub(1)?)?;
        let offset = usize::try_from(address - begin).ok()?;
        u32::try_from(self.reader.number(bytes.get(offset..offset.checked_add(4)?)?)).ok()
    }
}

impl<'a> TableReader<'a> for Image<'_, 'a> {
    type Table = Table<'a>;

    fn table(&self, index: usize) -> Result<Table<'a>, ExportsError> {
        match self.sections.get(index) {
            Some(section) => Ok(Table { address: section.address, bytes: self.reader.contents(section)? }),
            None => Ok(Table { address: 0, bytes: &[] }),
        }
    }

    fn field(&self, table: &Table<'a>, at: usize, layout: Layout) -> Target<'a> {
        let value = self.reader.field(table.bytes, at, layout.field);
        if value == 0 {
            return Target::Nothing;
        }
        let address = if layout.relative { self.relative(table, at) } else { value };
        let text = address.checked_sub(self.strings.0).and_then(|offset| name_at(self.strings.1, offset));
        text.map_or(Target::Other, Target::Text)
    }

    /// The image does not record whether four bytes are a CRC or the distance to it. A distance always leads
    /// into the kernel's few megabytes, except for symbols without a CRC. A CRC that is read as a distance
    /// does so in about one of a hundred cases.
    fn crcs(&self, table: &Table<'a>, count: usize, width: usize) -> Result<Vec<u32>, ExportsError> {
        // The lower half of a word.
        let direct = |index: usize| low_word(self.reader.field(table.bytes, index * width, width));
        let plain = || (0..count).map(direct).collect();
        if width != 4 {
            return Ok(plain());
        }
        let distant: Vec<Option<u32>> =
            (0..count).map(|index| self.number_at(self.relative(table, index * width))).collect();
        let hits = distant.iter().flatten().count();
        if count < 8 || hits <= count / 2 {
            return Ok(plain());
        }
        // A symbol without a CRC.
        Ok(distant.into_iter().map(|crc| crc.unwrap_or(0)).collect())
    }
}
