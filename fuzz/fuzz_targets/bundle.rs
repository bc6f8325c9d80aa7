//! Manifests, records, signatures and archives from a registry.
#![no_main]
use dkms_bundle::layer;
use dkms_bundle::manifest::{self, Manifest};
use dkms_bundle::record::{File, Layer, Record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = Manifest::parse(data) {
        let written = read.to_json().expect("what was read can be written");
        assert_eq!(Manifest::parse(&written).expect("what was written can be read"), read);
    }
    assert!(manifest::accept(data, "", &[]).is_err());
    if let Ok(record) = Record::parse(data) {
        let written = record.to_json().expect("what was read can be written");
        assert_eq!(Record::parse(&written).expect("what was written can be read"), record);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = dkms_bundle::signature::PublicKey::from_pem(text);
        let _ = dkms_bundle::signature::SigningKey::from_pem(text);
    }
    let file = File { path: "module/a.ko".into(), size: 3, sha256: "0".repeat(64), executable: false };
    let layer = Layer { digest: format!("sha256:{}", "0".repeat(64)), size: data.len() as u64 };
    let record = Record {
        schema: 1,
        fingerprint: String::new(),
        lines: Vec::new(),
        package: String::new(),
        version: String::new(),
        kernel: String::new(),
        arch: String::new(),
        builder: String::new(),
        unconfined: Vec::new(),
        build_ms: 0,
        files: vec![file],
        layer: Some(layer),
    };
    assert!(layer::unpack(&record, data, |_, _| Ok(())).is_err());
});
