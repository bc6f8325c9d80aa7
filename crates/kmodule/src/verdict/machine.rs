//! The machine that a module is for.

use super::kernel::KernelView;
use super::reason::Reason;
use crate::elf::{self, Class};

pub(super) const X86_64: u16 = 62;

/// Checks that a module is for the kernel's machine. Unknown machines are not checked.
pub(super) fn check(
    class: Class,
    number: u16,
    little_endian: bool,
    kernel: &KernelView<'_>,
) -> Result<(), Reason> {
    // Distributions call ppc64le "ppc64", so the byte order is compared only if the name implies one.
    let order = is_little_endian(kernel.arch);
    match elf::machine_of_arch(kernel.arch) {
        Some(machine)
            if machine != (class, number) || order.is_some_and(|little| little != little_endian) =>
        {
            let (module, kernel) = (describe(class, number, little_endian), kernel.arch.to_owned());
            Err(Reason::WrongMachine { module, kernel })
        }
        _ => Ok(()),
    }
}

/// Whether the machine is little-endian; `None` if its name does not imply it.
fn is_little_endian(arch: &str) -> Option<bool> {
    match arch {
        "ppc64le" | "ppc64el" | "powerpc64le" | "mipsel" | "mips64el" | "x86_64" | "amd64" | "arm64"
        | "loongarch64" | "riscv64" | "aarch64" => Some(true),
        "s390x" | "aarch64_be" => Some(false),
        _ => None,
    }
}

fn describe(class: Class, machine: u16, little_endian: bool) -> String {
    let order = if little_endian { "little" } else { "big" };
    match elf::machine_name(class, machine) {
        Some(name) => format!("{name} ({}-bit, {order} endian)", class.bits()),
        None => format!("ELF machine {machine} ({}-bit, {order} endian)", class.bits()),
    }
}
