//! Any bytes as a kernel module.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = kmodule::fuzz_module(data);
});
