//! Any bytes as a journal: what is read is only about kernels that its first line names.
#![no_main]

use dkms_tree::journal::Journal;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(Some(journal)) = Journal::parse(Path::new("/journal"), data) else { return };
    assert!(journal.ops.iter().all(|recorded| journal.begin.kernels.contains(&recorded.kernel)));
    assert!(journal.indexed.iter().all(|kernel| journal.begin.kernels.contains(kernel)));
    // Every line that was written whole is there, or nothing is read.
    let lines = data.iter().filter(|byte| **byte == b'\n').count();
    assert!(journal.ops.iter().all(|recorded| recorded.line <= lines));
});
