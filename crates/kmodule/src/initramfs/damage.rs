//! Damage of an initramfs.

use std::io;

/// Damage of a part of an initramfs. Positions are those in the decompressed part.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The part ends too early.
    #[error("it is cut short")]
    CutShort,
    /// The part cannot be decompressed.
    #[error(transparent)]
    Read(io::Error),
    /// The decompressed data contains something other than archives.
    #[error("its content at byte {0} is not an archive")]
    NotAnArchive(u64),
    /// The last archive has no trailer.
    #[error("the archive has no end")]
    NoEnd,
    /// An entry is damaged.
    #[error("the entry at byte {offset}: {damage}")]
    Entry {
        /// The position of the entry.
        offset: u64,
        /// The damage of the entry.
        #[source]
        damage: Box<Damage>,
    },
    /// Another format of cpio.
    #[error("an old cpio format, which kernels do not read")]
    OldFormat,
    /// Data that is not the header of an entry.
    #[error("not a cpio header")]
    NotAHeader,
    /// A header without hexadecimal digits.
    #[error("a field of the cpio header is not a number")]
    NotANumber,
    /// A header with a name that is empty or too long.
    #[error("the length of its name is invalid")]
    NameLength,
    /// A symbolic link with a target that is too long.
    #[error("the path it links to is too long")]
    TargetLength,
}
