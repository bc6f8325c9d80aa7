//! The names of the packages with programs, for hints.

use super::{Distribution, Family};

/// The packages in Gentoo, as atoms, by their usual names.
const GENTOO: [(&str, &str); 11] = [
    ("bash", "app-shells/bash"),
    ("binutils", "sys-devel/binutils"),
    ("clang", "llvm-core/clang"),
    ("gcc", "sys-devel/gcc"),
    ("kmod", "sys-apps/kmod"),
    ("lld", "llvm-core/lld"),
    ("llvm", "llvm-core/llvm"),
    ("make", "dev-build/make"),
    ("pahole", "dev-util/pahole"),
    ("patch", "sys-devel/patch"),
    ("qemu-user", "app-emulation/qemu"),
];

impl Distribution {
    /// Returns the package with a program.
    pub fn program_package(&self, program: &str) -> String {
        if let Some((triple, version)) = cross_compiler(program) {
            return self.cross_package(program, triple, version);
        }
        let (name, version) = package_name(program);
        // Several versions of a compiler can be installed in these distributions: gcc in Debian, openSUSE and
        // Gentoo, LLVM in Debian (llvm-toolchain-*), openSUSE (llvm* in Factory), Alpine
        // (pkgs.alpinelinux.org), Void (srcpkgs/llvm18) and Gentoo (slots). Arch has only old versions of
        // LLVM in such packages.
        let is_llvm = matches!(name, "clang" | "lld" | "llvm");
        match self.family() {
            Family::Debian | Family::Ubuntu if !version.is_empty() => format!("{name}-{version}"),
            Family::Suse if name == "gcc" || is_llvm => format!("{name}{version}"),
            Family::Other if is_llvm && matches!(self.word(), "alpine" | "void") => {
                format!("{name}{version}")
            }
            Family::Suse if name == "qemu-user" => "qemu-linux-user".into(),
            Family::Fedora | Family::Rhel | Family::Suse if name == "pahole" => "dwarves".into(),
            Family::Gentoo => {
                let atom = GENTOO.iter().find(|(usual, _)| *usual == name).map_or(name, |(_, atom)| *atom);
                if (name == "gcc" || is_llvm) && !version.is_empty() {
                    format!("{atom}:{version}")
                } else {
                    atom.into()
                }
            }
            Family::Other if self.word() == "alpine" && program.starts_with("qemu-") => program.into(),
            _ => name.into(),
        }
    }

    /// Returns the package with a compiler for another machine.
    fn cross_package(&self, program: &str, triple: &str, version: &str) -> String {
        let machine = triple.split('-').next().unwrap_or(triple);
        match self.family() {
            Family::Debian | Family::Ubuntu => {
                let dash = if version.is_empty() { "" } else { "-" };
                format!("gcc{dash}{version}-{}", triple.replace('_', "-"))
            }
            Family::Suse if version.is_empty() => format!("cross-{machine}-gcc (with its version)"),
            Family::Suse => format!("cross-{machine}-gcc{version}"),
            Family::Arch => format!("{triple}-gcc"),
            Family::Gentoo => format!("sys-devel/crossdev (then: crossdev --target {triple})"),
            Family::Other => match self.word() {
                "void" => format!("cross-{triple}"),
                _ => program.into(),
            },
            Family::Fedora | Family::Rhel => format!("gcc-{triple}"),
        }
    }
}

/// Returns the target and the version in the name of a compiler for another machine.
fn cross_compiler(program: &str) -> Option<(&str, &str)> {
    let machine = program.split_once("-linux-").map(|(machine, _)| machine)?;
    let (triple, version) = program.split_once("-gcc")?;
    (machine != std::env::consts::ARCH).then_some((triple, version.trim_start_matches('-')))
}

/// Returns the usual name of the package with a program, and the version at the end of the program's name.
fn package_name(program: &str) -> (&str, &str) {
    let is_version = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let version = program.rsplit_once('-').map(|(_, suffix)| suffix).filter(is_version).unwrap_or_default();
    let name = match program {
        "depmod" | "modprobe" => "kmod",
        "strip" | "ld" => "binutils",
        "cc" | "gcc" => "gcc",
        _ if program.starts_with("gcc-") || program.contains("-gcc") => "gcc",
        _ if program.starts_with("clang") => "clang",
        _ if program.starts_with("ld.lld") => "lld",
        _ if program.starts_with("llvm-") => "llvm",
        _ if program.starts_with("qemu-") => "qemu-user",
        _ => return (program, ""),
    };
    (name, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program, and its packages in Debian, Fedora, openSUSE, Arch, Alpine, Void and Gentoo.
    #[test]
    fn packages_of_programs() {
        let ids = ["debian", "fedora", "opensuse", "arch", "alpine", "void", "gentoo"];
        let table = [
            "make make make make make make make dev-build/make",
            "depmod kmod kmod kmod kmod kmod kmod sys-apps/kmod",
            "strip binutils binutils binutils binutils binutils binutils sys-devel/binutils",
            "cc gcc gcc gcc gcc gcc gcc sys-devel/gcc",
            "gcc-12 gcc-12 gcc gcc12 gcc gcc gcc sys-devel/gcc:12",
            "x86_64-linux-gnu-gcc-12 gcc-12 gcc gcc12 gcc gcc gcc sys-devel/gcc:12",
            "clang clang clang clang clang clang clang llvm-core/clang",
            "clang-18 clang-18 clang clang18 clang clang18 clang18 llvm-core/clang:18",
            "ld.lld lld lld lld lld lld lld llvm-core/lld",
            "ld.lld-18 lld-18 lld lld18 lld lld18 lld18 llvm-core/lld:18",
            "llvm-ar llvm llvm llvm llvm llvm llvm llvm-core/llvm",
            "llvm-objcopy-18 llvm-18 llvm llvm18 llvm llvm18 llvm18 llvm-core/llvm:18",
            "pahole pahole dwarves dwarves pahole pahole pahole dev-util/pahole",
            "qemu-s390x qemu-user qemu-user qemu-linux-user qemu-user qemu-s390x qemu-user app-emulation/qemu",
            "zstd zstd zstd zstd zstd zstd zstd zstd",
        ];
        for line in table {
            let mut words = line.split(' ');
            let program = words.next().unwrap();
            for (id, package) in ids.into_iter().zip(words) {
                let known = Distribution::from_os_release(&format!("ID={id}"));
                assert_eq!(known.program_package(program), package, "{program} in {id}");
            }
        }
    }

    #[test]
    fn packages_of_compilers_for_other_machines() {
        let table = [
            ("debian", "gcc-12-s390x-linux-gnu"),
            ("fedora", "gcc-s390x-linux-gnu"),
            ("opensuse", "cross-s390x-gcc12"),
            ("arch", "s390x-linux-gnu-gcc"),
            ("void", "cross-s390x-linux-gnu"),
            ("gentoo", "sys-devel/crossdev (then: crossdev --target s390x-linux-gnu)"),
            ("alpine", "s390x-linux-gnu-gcc-12"),
        ];
        for (id, package) in table {
            let known = Distribution::from_os_release(&format!("ID={id}"));
            assert_eq!(known.program_package("s390x-linux-gnu-gcc-12"), package, "{id}");
        }
        let debian = Distribution::from_os_release("ID=debian");
        assert_eq!(debian.program_package("riscv64-linux-gnu-gcc"), "gcc-riscv64-linux-gnu");
    }
}
