//! Kernel images packed by the tools that the kernel's build system calls, with its options
//! (scripts/Makefile.lib and xz_wrap.sh; the faster levels).

mod common;

use common::{bzimage, filter, has, kernels, skip};
use kmodule::Compression;
use kmodule::image::{self, ImageError};
use std::fs;
use std::io::Cursor;

/// The data: more than two lz4 blocks of a real kernel, or of this test.
fn kernel() -> Vec<u8> {
    let real = kernels().first().map(|kernel| {
        let bytes = fs::read(&kernel.image).unwrap();
        image::unpack(&bytes).unwrap().into_owned()
    });
    let mut kernel = real.unwrap_or_else(|| fs::read("/proc/self/exe").unwrap().repeat(4));
    kernel.truncate(17 << 20);
    kernel
}

#[test]
fn the_btf_of_a_kernel_is_its_section() {
    let kernels = kernels();
    if kernels.is_empty() {
        skip("needs a kernel's image");
    }
    for kernel in kernels {
        let packed = fs::read(&kernel.image).unwrap();
        let mut elf = Cursor::new(image::unpack(&packed).unwrap());
        let section = kmodule::vmlinux::read_section(&mut elf, ".BTF", 64 << 20).unwrap();
        assert!(image::btf(&packed).unwrap() == section, "{}", kernel.image.display());
        let whole = image::btf(elf.get_ref()).unwrap();
        assert!(whole == section, "{}, unpacked", kernel.image.display());
    }
}

#[test]
fn images_in_every_compression() {
    let kernel = kernel();
    let size = u32::try_from(kernel.len()).unwrap().to_le_bytes();
    for (format, tool, options) in [
        (Compression::Gzip, "gzip", &["-n", "-f", "-1"][..]),
        (Compression::Bzip2, "bzip2", &["-1"]),
        (Compression::Lzma, "lzma", &["-1"]),
        (Compression::Xz, "xz", &["--check=crc32", "--x86", "--lzma2=preset=0,dict=32MiB"]),
        (Compression::Lz4, "lz4", &["-l", "-1", "-c", "-"]),
        (Compression::Zstd, "zstd", &["-q", "-1", "--long=27"]),
    ] {
        if !has(tool) {
            skip(&format!("needs {tool}"));
            continue;
        }
        let packed = filter(tool, options, &kernel);
        assert_eq!(Compression::detect(&packed), Some(format));
        let mut x86 = bzimage(&packed);
        let end = x86.len();
        x86[end - 4..].copy_from_slice(&size);
        assert!(*image::unpack(&x86).unwrap() == *kernel, "{tool}");

        let mut zboot = b"MZ\0\0zimg\x40\0\0\0".to_vec();
        zboot.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        zboot.resize(0x40, 0);
        let zboot = [&zboot, &packed[..], &size].concat();
        assert!(*image::unpack(&zboot).unwrap() == *kernel, "{tool}");

        assert!(*image::unpack(&packed).unwrap() == *kernel, "{tool}");
        let cut = image::unpack(&packed[..packed.len() / 2]);
        assert!(matches!(cut, Err(ImageError::Damaged { format: found, .. }) if found == format), "{tool}");
    }
}
