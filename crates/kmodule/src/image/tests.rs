use super::{ImageError, unpack, unpack_within};
use crate::compress::{Options, compress};
use crate::compression::Compression;

const KERNEL: &[u8] = b"\x7fELF and what else there is";

fn flat(magic: &[u8; 4]) -> Vec<u8> {
    let mut image = vec![0; 0x38];
    image.extend_from_slice(magic);
    image.extend_from_slice(b"\0\0\0\0code");
    image
}

/// An x86 image as in Documentation/arch/x86/boot.rst.
fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x400];
    image[0x1f1] = 1;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&8_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    [&image, &[0x90; 8][..], payload, b"behind"].concat()
}

fn zboot(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x40];
    image[..8].copy_from_slice(b"MZ\0\0zimg");
    image[8..12].copy_from_slice(&0x40_u32.to_le_bytes());
    image[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    image[0x38..0x3c].copy_from_slice(&0x8182_23cd_u32.to_le_bytes());
    [&image, payload].concat()
}

fn xz(data: &[u8]) -> Vec<u8> {
    compress(data, &Options::for_modules(Compression::Xz).unwrap()).unwrap()
}

#[test]
fn every_kind_of_image() {
    let sized = [xz(KERNEL), vec![28, 0, 0, 0]].concat();
    for image in [KERNEL.to_vec(), bzimage(&sized), bzimage(KERNEL), zboot(&xz(KERNEL)), xz(KERNEL)] {
        assert_eq!(*unpack(&image).unwrap(), *KERNEL);
        if image != KERNEL {
            assert_eq!(*unpack_within(&image, KERNEL.len()).unwrap(), *KERNEL);
        }
    }
    for kernel in [flat(b"ARM\x64"), flat(b"RSC\x05"), flat(b"\xcd\x23\x82\x81")] {
        for image in [kernel.clone(), zboot(&xz(&kernel)), xz(&kernel)] {
            assert_eq!(*unpack(&image).unwrap(), *kernel);
        }
    }
}

#[test]
fn images_that_cannot_be_read_are_errors() {
    let good = bzimage(&xz(KERNEL));
    let mut old = good.clone();
    old[0x206] = 7;
    let mut damaged = good.clone();
    damaged[0x408 + 30] ^= 0xff;
    let format = Compression::Xz;
    for (image, words) in [
        (Vec::new(), "not a kernel image"),
        (b"#!/bin/sh\n".to_vec(), "not a kernel image"),
        (vec![0; 0x300], "not a kernel image"),
        (old, "older than 2.08"),
        (good[..0x420].to_vec(), "cut short"),
        (good[..0x220].to_vec(), "cut short"),
        (zboot(KERNEL)[..0x50].to_vec(), "cut short"),
        (bzimage(b"no magic number"), "no compressed data"),
        (bzimage(b"\x89LZO\0\r\n\x1a\n"), "lzo, which dkms cannot decompress"),
        (bzimage(&xz(b"something else")), "not a kernel"),
        (damaged, "is damaged: its xz data"),
    ] {
        let error = unpack(&image).unwrap_err();
        assert!(error.to_string().contains(words), "{error} / {words}");
    }
    assert!(matches!(unpack_within(&good, 10), Err(ImageError::TooLarge { limit: 10 })));
    assert!(matches!(unpack(&good[..good.len() - 30]), Err(ImageError::Truncated { .. })));
    assert!(matches!(unpack(&xz(KERNEL)[..40]), Err(ImageError::Damaged { format: m, .. }) if m == format));
}
