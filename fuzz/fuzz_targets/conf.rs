//! Any text as a dkms.conf.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = dkms_conf::fuzz_evaluate(data);
});
