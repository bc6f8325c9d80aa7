//! Reads, signs, compresses and checks kernel module files.
//!
//! Bytes in, bytes out: nothing here opens a file, starts a process, prints or reads the environment, so
//! every function can be tested with a byte slice and none can affect the system it runs on.
//!
//! | module | question it answers |
//! |---|---|
//! | [`elf`] | what does this file contain: machine, symbols, versions, `.modinfo`? |
//! | [`modinfo`] | the `key=value` strings: version, vermagic, licence … |
//! | [`symvers`] | which symbols and CRCs does a kernel or module export, according to `Module.symvers`? |
//! | [`exports`] | the same, read from the module or the kernel image itself |
//! | [`image`] | which kernel is in a kernel image? |
//! | [`index`] | the index that depmod writes for a kernel's modules, byte for byte |
//! | [`initramfs`] | which files and modules are in an initramfs? |
//! | [`compression`] | in which format is this file compressed? |
//! | [`compress`] | gzip, xz and zstd as the kernel and kmod read them |
//! | [`sign`] | the appended PKCS#7 signature: create, read, check, remove |
//! | [`efi_siglist`] | which certificates and digests does a firmware variable contain? |
//! | [`mok`] | a new signing key and its certificate |
//! | [`verdict`] | would this kernel load this module, and if not, why? |
//! | [`vmlinux`] | which compiler is named in a kernel image? |
//!
//! Input is never trusted: lengths and counts in headers are checked against the bytes that exist before
//! anything is allocated or indexed, and unreadable input is a typed error.
#![forbid(unsafe_code)]
#![warn(unreachable_pub)]

mod asn1;
pub mod compress;
pub mod compression;
pub mod efi_siglist;
pub mod elf;
pub mod exports;
pub mod image;
pub mod index;
pub mod initramfs;
pub mod modinfo;
pub mod mok;
mod name;
mod pem;
pub mod sign;
pub mod symvers;
mod unpack;
pub mod verdict;
pub mod vmlinux;
mod x509;

pub use compression::Compression;
pub use elf::{Class, machine_of_arch};
pub use name::ModuleName;

/// Runs every reader of this crate on `data`, for fuzzing and property tests. It must return for any bytes.
#[doc(hidden)]
pub fn fuzz_module(data: &[u8]) {
    struct NoKeys;
    impl verdict::Keys for NoKeys {
        fn find(&self, _: &sign::Signed<'_>) -> verdict::Key<'_> {
            verdict::Key::Absent
        }
        fn supports(&self, _: sign::Hash) -> Option<bool> {
            Some(true)
        }
    }
    /// Large enough for a decompressor to work, small enough for a fuzzer.
    const LIMIT: usize = 1 << 20;
    const KERNEL: &[u8] =
        b"0x1\t_printk\tvmlinux\tEXPORT_SYMBOL_GPL\tmodule:a*\n0x2\tkfree\tvmlinux\tEXPORT_SYMBOL\tNS\n";
    let _ = symvers::Symvers::from_vec(data.to_vec()).map(|list| list.iter().count());
    let _ = vmlinux::read_section(&mut std::io::Cursor::new(data), ".comment", LIMIT);
    let symvers = symvers::Symvers::from_vec(KERNEL.to_vec()).ok();
    let mut view = verdict::KernelView::new("6.1.0-1-amd64", "x86_64");
    view.symbols = symvers.as_ref().map(|list| list as &dyn verdict::Symbols);
    view.modversions = true;
    view.signatures =
        Some(verdict::Signatures { enforcement: verdict::Enforcement::SigEnforce, keys: &NoKeys });
    let _ = verdict::File::read(data, LIMIT).judge(&view);
    let _ = exports::read_module(data, "module").map(|list| list.iter().count());
    let _ = exports::read_vmlinux(data).map(|list| list.iter().count());
    if let Ok(kernel) = image::unpack_within(data, LIMIT) {
        let _ = exports::read_vmlinux(&kernel).map(|list| list.iter().count());
    }
    let _ = image::btf_within(data, LIMIT);
    let _ = initramfs::entries_within(&mut &data[..], LIMIT as u64, &mut |_| {});
    if let Ok(facts) = index::Facts::read(data) {
        let module = index::Module { path: "a.ko", facts: &facts };
        let lists = index::Lists { order: "", builtin: "", builtin_modinfo: data };
        let _ = index::write(index::Version::Kmod34, &[module], &lists);
    }
    let _ = modinfo::ModInfo::from_section(data).depends().count();
    let _ = compress::decompress(data, LIMIT);
    let _ = sign::strip_signature(data);
    let _ = sign::signature(data);
    let _ = sign::Key::parse(data);
    let _ = efi_siglist::SignatureLists::parse(data).map(|lists| lists.parsed().count());
    if let Ok(certificate) = sign::Certificate::parse(data) {
        let _ = sign::verify(data, &certificate);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = index::Cache::parse(text).len();
        let _ = index::Facts::parse(text);
        let _ = index::Config::parse([text], &|_| true);
        let lists = index::Lists { order: text, builtin: text, builtin_modinfo: data };
        let _ = index::write(index::Version::Kmod30, &[], &lists);
        for format in Compression::OF_MODULES {
            let _ = compress::Options::parse(format, text);
        }
    }
}
