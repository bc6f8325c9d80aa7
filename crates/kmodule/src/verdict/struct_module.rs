//! The contents of a module's `struct module`: compilers leave it empty except for the name.

use super::format::Image;
use crate::elf::Class;

/// The position of the name, with its NUL, in `struct module` of 64-bit kernels.
const NAME: std::ops::Range<usize> = 24..80;

impl Image<'_> {
    /// Whether `struct module` has no name, so that the kernel cannot create files in /sys. If it contains
    /// other data, the kernel may fail earlier.
    pub(super) fn lacks_name(&self) -> bool {
        let bytes = self.bytes(self.this_module);
        self.reader.class == Class::Elf64
            && !self.has_more_than_a_name()
            && bytes.get(NAME).is_some_and(|name| name.first() == Some(&0))
    }

    /// Whether `struct module` contains more than a name. The kernel adds to the sizes in it.
    pub(super) fn has_more_than_a_name(&self) -> bool {
        let bytes = self.bytes(self.this_module);
        let before = bytes.get(..NAME.start).unwrap_or_default();
        let after = bytes.get(NAME.end..).unwrap_or_default();
        self.reader.class == Class::Elf64 && before.iter().chain(after).any(|byte| *byte != 0)
    }

    /// Whether the name in `struct module` is not terminated.
    pub(super) fn has_endless_name(&self) -> bool {
        let name = self.bytes(self.this_module).get(NAME);
        self.reader.class == Class::Elf64 && name.is_some_and(|name| !name.contains(&0))
    }
}
