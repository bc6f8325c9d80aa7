//! The compression formats of modules, kernel images and initramfs images.

/// A compression format. "Not compressed" is `Option::<Compression>::None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip (RFC 1952)
    Gzip,
    /// bzip2
    Bzip2,
    /// The predecessor of xz, `.lzma`
    Lzma,
    /// xz, also with the filters for machine code
    Xz,
    /// lzop; it is recognised, but cannot be decompressed
    Lzo,
    /// The legacy frame of lz4 (`lz4 -l`), the only one that kernels read
    Lz4,
    /// Zstandard (RFC 8878)
    Zstd,
}

impl Compression {
    /// The number of bytes that [`Compression::detect`] needs.
    pub(crate) const MAGIC: usize = 6;

    /// The formats of module files. kmod and kernels do not read others.
    pub const OF_MODULES: [Compression; 3] = [Compression::Gzip, Compression::Xz, Compression::Zstd];

    /// The format of some data, by the magic number it begins with.
    #[must_use]
    pub fn detect(data: &[u8]) -> Option<Compression> {
        Some(match data {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Compression::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            [0x89, b'L', b'Z', b'O', 0, ..] => Compression::Lzo,
            [0x02, 0x21, 0x4c, 0x18, ..] => Compression::Lz4,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // Properties byte 93 (lc=3, lp=0, pb=2) and a dictionary size that ends in a zero byte.
            [0x5d, 0, ..] => Compression::Lzma,
            _ => return None,
        })
    }

    /// As [`Compression::detect`], but only [`Compression::OF_MODULES`].
    #[must_use]
    pub fn detect_module(data: &[u8]) -> Option<Compression> {
        Compression::detect(data).filter(|format| Compression::OF_MODULES.contains(format))
    }

    /// The format of the module files that end in `.ko` and this suffix, with or without its dot; `None` for
    /// every other suffix.
    #[must_use]
    pub fn from_module_suffix(suffix: &str) -> Option<Compression> {
        let suffix = suffix.strip_prefix('.').unwrap_or(suffix);
        Compression::OF_MODULES.into_iter().find(|format| format.suffix().strip_prefix('.') == Some(suffix))
    }

    /// The usual suffix of files in this format.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        self.name_and_suffix().1
    }

    /// The usual name. The tool and the setting `compress_NAME_opts` use the same name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name_and_suffix().0
    }

    fn name_and_suffix(self) -> (&'static str, &'static str) {
        match self {
            Compression::Gzip => ("gzip", ".gz"),
            Compression::Bzip2 => ("bzip2", ".bz2"),
            Compression::Lzma => ("lzma", ".lzma"),
            Compression::Xz => ("xz", ".xz"),
            Compression::Lzo => ("lzo", ".lzo"),
            Compression::Lz4 => ("lz4", ".lz4"),
            Compression::Zstd => ("zstd", ".zst"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Compression;

    #[test]
    fn module_formats_by_suffix() {
        for format in Compression::OF_MODULES {
            assert_eq!(Compression::from_module_suffix(format.suffix()), Some(format));
        }
        assert_eq!(Compression::from_module_suffix("xz"), Some(Compression::Xz));
        for other in ["", ".", ".bz2", ".ko"] {
            assert_eq!(Compression::from_module_suffix(other), None);
        }
    }

    #[test]
    fn module_formats_by_magic() {
        assert_eq!(Compression::detect(b"BZh91AY"), Some(Compression::Bzip2));
        for other in [&b""[..], b"\x1f", b"BZh91AY", b"\x7fELF"] {
            assert_eq!(Compression::detect_module(other), None);
        }
    }
}
