//! The machine for which a kernel was built, and the compilers for it on this machine
//! ([decision 25](../../../../docs/decisions/0025-foreign-architectures.md)).

use super::headers::{self, KernelConfig};
use crate::system::Settings;
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// A machine for which kernels are built.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    /// The options in the kernel's configuration that identify it.
    options: &'static [&'static str],
    /// Its name, as `uname -m` prints it.
    pub name: &'static str,
    /// The value of `ARCH` for kbuild.
    pub arch: &'static str,
    /// The systems whose own compilers also compile kernels for it: values of [`std::env::consts::ARCH`].
    native: &'static [&'static str],
    /// The prefixes of its compilers, without the vendor.
    triples: &'static [&'static str],
    /// Debian's name for it.
    pub debian: &'static str,
}

/// All machines. If the options of several are set, the first one is used.
const MACHINES: [Machine; 13] = {
    const fn machine(
        options: &'static [&'static str],
        name: &'static str,
        arch: &'static str,
        native: &'static [&'static str],
        triples: &'static [&'static str],
        debian: &'static str,
    ) -> Machine {
        Machine { options, name, arch, native, triples, debian }
    }
    const X86: &[&str] = &["x86_64", "x86"];
    const POWER: &[&str] = &["powerpc64", "powerpc"];
    const MIPS: &[&str] = &["mips64", "mips"];
    [
        machine(&["CONFIG_X86_64"], "x86_64", "x86", X86, &["x86_64-linux-gnu"], "amd64"),
        machine(&["CONFIG_X86_32"], "i686", "x86", X86, &["i686-linux-gnu"], "i386"),
        machine(&["CONFIG_ARM64"], "aarch64", "arm64", &["aarch64"], &["aarch64-linux-gnu"], "arm64"),
        machine(
            &["CONFIG_ARM"],
            "armv7l",
            "arm",
            &["arm"],
            &["arm-linux-gnueabihf", "arm-linux-gnueabi", "arm-none-linux-gnueabihf"],
            "armhf",
        ),
        machine(
            &["CONFIG_RISCV", "CONFIG_64BIT"],
            "riscv64",
            "riscv",
            &["riscv64"],
            &["riscv64-linux-gnu"],
            "riscv64",
        ),
        machine(
            &["CONFIG_PPC64", "CONFIG_CPU_LITTLE_ENDIAN"],
            "ppc64le",
            "powerpc",
            POWER,
            &["powerpc64le-linux-gnu"],
            "ppc64el",
        ),
        machine(&["CONFIG_PPC64"], "ppc64", "powerpc", POWER, &["powerpc64-linux-gnu"], "ppc64"),
        machine(&["CONFIG_PPC32"], "ppc", "powerpc", POWER, &["powerpc-linux-gnu"], "powerpc"),
        machine(&["CONFIG_S390"], "s390x", "s390", &["s390x"], &["s390x-linux-gnu"], "s390x"),
        machine(
            &["CONFIG_LOONGARCH"],
            "loongarch64",
            "loongarch",
            &["loongarch64"],
            &["loongarch64-linux-gnu"],
            "loong64",
        ),
        machine(
            &["CONFIG_MIPS", "CONFIG_64BIT", "CONFIG_CPU_LITTLE_ENDIAN"],
            "mips64",
            "mips",
            MIPS,
            &["mips64el-linux-gnuabi64"],
            "mips64el",
        ),
        machine(
            &["CONFIG_MIPS", "CONFIG_CPU_LITTLE_ENDIAN"],
            "mips",
            "mips",
            MIPS,
            &["mipsel-linux-gnu"],
            "mipsel",
        ),
        machine(&["CONFIG_SPARC64"], "sparc64", "sparc", &["sparc64"], &["sparc64-linux-gnu"], "sparc64"),
    ]
};

impl Machine {
    /// Returns the machine of a kernel with this configuration; `None` if it is unknown.
    pub fn of_config(config: &KernelConfig) -> Option<&'static Self> {
        MACHINES.iter().find(|machine| machine.options.iter().all(|option| config.enabled(option)))
    }

    /// Returns whether the compilers of this system compile for it. This does not depend on the running
    /// kernel, because a 32-bit system can have a 64-bit kernel.
    pub fn is_native(&self) -> bool {
        self.is_native_of(std::env::consts::ARCH)
    }

    fn is_native_of(&self, system: &str) -> bool {
        self.native.contains(&system)
    }

    /// Returns whether modules of the machine with this name, as in `uname -m` or `--arch`, have the same
    /// format; `true` if the name is unknown.
    pub fn is_named(&self, name: &str) -> bool {
        let format = kmodule::machine_of_arch;
        format(name).is_none() || format(name) == format(self.name)
    }

    /// Returns the prefixes of its compilers and binutils, in the format of `CROSS_COMPILE`, the most common
    /// first.
    fn prefixes(&self) -> impl Iterator<Item = String> {
        let with_vendor = |triple: &&str| triple.replacen("-linux-", "-unknown-linux-", 1);
        let triples = self.triples.iter().map(|triple| (*triple).to_owned());
        triples.chain(self.triples.iter().map(with_vendor)).map(|triple| format!("{triple}-"))
    }
}

/// Returns the machine of an installed kernel; `None` if its configuration is not installed, or if the
/// machine is unknown.
pub fn of_kernel(layout: &Layout, settings: &Settings, release: &str) -> Option<&'static Machine> {
    Machine::of_config(&headers::configuration(layout, settings, release)?)
}

/// The gcc for another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cross {
    /// The value of `CROSS_COMPILE`.
    pub prefix: String,
    /// The program.
    pub compiler: String,
    /// Whether it is installed.
    pub is_installed: bool,
}

impl Cross {
    /// Chooses gcc for a machine. `kernel_compiler` is the program that compiled the kernel, such as
    /// `gcc-12`. Its version is preferred, and required if the makefiles of the headers set it (`is_fixed`).
    /// If the caller set `CROSS_COMPILE`, `prefix` is its value.
    pub(super) fn choose(
        machine: &Machine,
        kernel_compiler: &str,
        is_fixed: bool,
        prefix: Option<&str>,
        find: impl Fn(&str) -> Option<PathBuf>,
    ) -> Self {
        let version = kernel_compiler.rsplit_once("gcc").map_or("", |(_, version)| version);
        let prefixes: Vec<String> =
            prefix.map_or_else(|| machine.prefixes().collect(), |prefix| vec![prefix.to_owned()]);
        let with_suffix = |suffix: &str| {
            let names = prefixes.iter().map(|prefix| (prefix.clone(), format!("{prefix}gcc{suffix}")));
            names.collect::<Vec<_>>()
        };
        let mut candidates = with_suffix(version);
        let preferred = candidates.first().cloned().unwrap_or_default();
        if !is_fixed {
            candidates.extend(with_suffix(""));
        }
        let installed = candidates.into_iter().find(|(_, name)| find(name).is_some());
        let is_installed = installed.is_some();
        let (prefix, compiler) = installed.unwrap_or(preferred);
        Self { prefix, compiler, is_installed }
    }
}

/// The format of an executable file, from its ELF header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    is_64_bit: bool,
    little_endian: bool,
    /// The number of its machine (`e_machine`).
    machine: u16,
}

impl Format {
    /// Reads the format of a file; `None` if it is not an ELF file.
    pub(crate) fn of_file(file: &Path) -> Option<Self> {
        let mut head = [0; 20];
        std::io::Read::read_exact(&mut dkms_sys::fs::open(file).ok()?, &mut head).ok()?;
        let [0x7f, b'E', b'L', b'F', class, order, .., a, b] = head else { return None };
        let little_endian = order == 1;
        let machine = if little_endian { u16::from_le_bytes([a, b]) } else { u16::from_be_bytes([a, b]) };
        Some(Self { is_64_bit: class == 2, little_endian, machine })
    }

    /// Returns whether a machine with this name runs programs of this format.
    pub(crate) fn runs_on(self, machine: &str) -> bool {
        const X86: [u16; 2] = [3, 62];
        let is_native = Self::of_file(Path::new("/proc/self/exe"))
            .is_some_and(|own| own == self || X86.contains(&own.machine) && X86.contains(&self.machine));
        is_native || kmodule::machine_of_arch(machine).is_some_and(|(_, number)| number == self.machine)
    }

    /// Returns the name of the machine, as `uname -m` prints it, and the program of qemu that runs such
    /// files.
    pub(crate) fn emulator(self) -> Option<(&'static str, &'static str)> {
        Some(match (self.machine, self.is_64_bit, self.little_endian) {
            (183, true, true) => ("aarch64", "qemu-aarch64"),
            (40, false, true) => ("armv7l", "qemu-arm"),
            (243, true, true) => ("riscv64", "qemu-riscv64"),
            (21, true, true) => ("ppc64le", "qemu-ppc64le"),
            (21, true, false) => ("ppc64", "qemu-ppc64"),
            (22, true, false) => ("s390x", "qemu-s390x"),
            (258, true, true) => ("loongarch64", "qemu-loongarch64"),
            (62, true, true) => ("x86_64", "qemu-x86_64"),
            (3, false, true) => ("i686", "qemu-i386"),
            (8, true, true) => ("mips64", "qemu-mips64el"),
            (8, false, true) => ("mips", "qemu-mipsel"),
            _ => return None,
        })
    }
}

/// Returns the machine with this name, as `uname -m` prints it.
fn find(name: &str) -> Option<&'static Machine> {
    MACHINES.iter().find(|machine| machine.name == name)
}

/// Returns the directories that may have libraries of another machine: this root, which can have libraries of
/// several machines, and the directories of Debian's packages `libc6-*-cross` and similar. This root comes
/// first: loaders search it in any case, so its libraries must be used together with its loader.
pub(crate) fn libraries_of(name: &str) -> Vec<PathBuf> {
    let triples = find(name).map_or(&[][..], |machine| machine.triples);
    let cross = triples.iter().map(|triple| Path::new("/usr").join(triple));
    std::iter::once(PathBuf::from("/")).chain(cross).collect()
}

/// Returns Debian's name for the machine with this name; the same name if the machine is unknown.
pub(crate) fn debian_name(name: &str) -> &str {
    find(name).map_or(name, |machine| machine.debian)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine_of(text: &str) -> Option<&'static str> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        std::fs::write(&file, text).unwrap();
        Machine::of_config(&KernelConfig::read(&file).unwrap()).map(|machine| machine.name)
    }

    #[test]
    fn the_configuration_identifies_the_machine() {
        assert_eq!(machine_of("CONFIG_64BIT=y\nCONFIG_X86=y\nCONFIG_X86_64=y\n"), Some("x86_64"));
        assert_eq!(machine_of("CONFIG_X86_32=y\nCONFIG_X86=y\n"), Some("i686"));
        assert_eq!(machine_of("CONFIG_ARM64=y\nCONFIG_64BIT=y\n"), Some("aarch64"));
        assert_eq!(machine_of("CONFIG_ARM=y\n# CONFIG_ARM64 is not set\n"), Some("armv7l"));
        assert_eq!(machine_of("CONFIG_RISCV=y\nCONFIG_64BIT=y\n"), Some("riscv64"));
        assert_eq!(machine_of("CONFIG_RISCV=y\n"), None);
        assert_eq!(machine_of("CONFIG_PPC64=y\nCONFIG_CPU_LITTLE_ENDIAN=y\n"), Some("ppc64le"));
        assert_eq!(machine_of("CONFIG_PPC64=y\nCONFIG_CPU_BIG_ENDIAN=y\n"), Some("ppc64"));
        assert_eq!(machine_of(""), None);
    }

    #[test]
    fn systems_that_compile_for_it() {
        let machine = |name: &str| find(name).unwrap();
        // A 64-bit kernel of a 32-bit system: gcc has -m64 on x86, and not on ARM.
        assert!(machine("x86_64").is_native_of("x86"));
        assert!(machine("i686").is_native_of("x86_64"));
        assert!(!machine("aarch64").is_native_of("arm"));
        assert!(!machine("aarch64").is_native_of("x86_64"));
        assert!(machine("aarch64").is_native_of("aarch64"));
        assert!(machine("aarch64").is_named("arm64") && machine("aarch64").is_named("fantasy"));
        assert!(!machine("aarch64").is_named("armv8l") && !machine("x86_64").is_named("i686"));
    }

    #[test]
    fn the_cross_compiler_of_the_kernels_version() {
        let machine = find("aarch64").unwrap();
        let choose = |compiler: &str, prefix: Option<&str>, installed: &[&str]| {
            let find = |name: &str| installed.contains(&name).then(PathBuf::new);
            Cross::choose(machine, compiler, false, prefix, find)
        };
        let twelve = "aarch64-linux-gnu-gcc-12";
        let plain = "aarch64-linux-gnu-gcc";
        assert_eq!(choose("gcc-12", None, &[plain, twelve]).compiler, twelve);
        assert_eq!(choose(twelve, None, &[plain, twelve]).compiler, twelve);
        assert_eq!(choose("gcc-13", None, &[plain, twelve]).compiler, plain);
        assert_eq!(choose("", None, &["aarch64-unknown-linux-gnu-gcc"]).prefix, "aarch64-unknown-linux-gnu-");
        assert_eq!(choose("gcc-12", Some("/opt/x/a-"), &["/opt/x/a-gcc"]).prefix, "/opt/x/a-");
        let missing = choose("gcc-12", None, &[]);
        assert_eq!((missing.compiler.as_str(), missing.is_installed), (twelve, false));
        // The makefiles of the headers would run gcc-12, regardless of the other installed compilers.
        let fixed = Cross::choose(machine, "gcc-12", true, None, |name| (name == plain).then(PathBuf::new));
        assert_eq!((fixed.compiler.as_str(), fixed.is_installed), (twelve, false));
    }
}
