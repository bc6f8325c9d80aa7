//! What can be wrong with an initramfs.

use std::io;

/// What is wrong with a part of an initramfs. Positions are those in the decompressed part.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It ends too early.
    #[error("it is cut short")]
    CutShort,
    /// It cannot be decompressed.
    #[error(transparent)]
    Read(io::Error),
    /// The decompressed data go on with something else.
    #[error("its content at byte {0} is not an archive")]
    NotAnArchive(u64),
    /// The last archive has no trailer.
    #[error("the archive has no end")]
    NoEnd,
    /// An entry is damaged.
    #[error("the entry at byte {offset}: {damage}")]
    Entry {
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        #[source]
        damage: Box<Damage>,
    },
    /// cpio of another kind.
    #[error("an old cpio format, which kernels do not read")]
    OldFormat,
    /// Something else than the header of an entry.
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
