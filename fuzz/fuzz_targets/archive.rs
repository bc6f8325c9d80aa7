//! Any bytes as a dkms tarball or Debian package.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = dkms_archive::fuzz_unpack(data);
});
