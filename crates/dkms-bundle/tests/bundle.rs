//! A whole build through signature, manifest and archive, and what happens to damaged and hostile ones.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use dkms_bundle::digest::{self, sha256_hex};
use dkms_bundle::layer::{self, LayerError};
use dkms_bundle::manifest::{self, Manifest, ManifestError};
use dkms_bundle::record::{self, File, Layer, Record};
use dkms_bundle::signature::{PublicKey, SigningKey};
use proptest::prelude::*;

type Files = BTreeMap<String, Vec<u8>>;

fn files() -> Files {
    let long = format!("module/{}/{}/x.ko", "d".repeat(90), "e".repeat(90));
    BTreeMap::from([
        ("Module.symvers".into(), Vec::new()),
        ("make.log.zst".into(), b"log".to_vec()),
        ("module/a.ko".into(), vec![1; 512]),
        ("module/b.ko".into(), (0..100_000u32).map(|i| i.wrapping_mul(i) as u8).collect()),
        (long, vec![2; 513]),
    ])
}

fn listed(files: &Files) -> Vec<File> {
    let file = |(path, bytes): (&String, &Vec<u8>)| File {
        path: path.clone(),
        size: bytes.len() as u64,
        sha256: sha256_hex(bytes),
        executable: path.ends_with("a.ko"),
    };
    files.iter().map(file).collect()
}

fn pack(files: &Files) -> (Record, Vec<u8>) {
    let mut record = record(listed(files));
    let mut archive = Vec::new();
    record.layer =
        Some(layer::write(&record.files, |file| Ok(files[&file.path].as_slice()), &mut archive).unwrap());
    (record, archive)
}

fn record(files: Vec<File>) -> Record {
    let lines = vec!["arch=x86_64".to_owned(), "kernel=6.1.0-1-amd64".to_owned()];
    Record {
        schema: record::SCHEMA,
        fingerprint: record::fingerprint(&lines),
        lines,
        package: "hello".into(),
        version: "1.0".into(),
        kernel: "6.1.0-1-amd64".into(),
        arch: "x86_64".into(),
        builder: "4.0.0".into(),
        unconfined: Vec::new(),
        build_ms: 1500,
        files,
        layer: None,
    }
}

fn unpack(record: &Record, archive: &[u8]) -> Result<Files, LayerError> {
    let mut found = Files::new();
    layer::unpack(record, archive, |file, contents| {
        let mut bytes = Vec::new();
        contents.read_to_end(&mut bytes)?;
        found.insert(file.path.clone(), bytes);
        Ok(())
    })?;
    Ok(found)
}

/// Compresses any tar archive, and makes a record of these files believe that it is theirs.
fn forge(files: Vec<File>, tar: &[u8]) -> (Record, Vec<u8>) {
    let archive = zstd::bulk::compress(tar, 3).unwrap();
    let mut record = record(files);
    record.layer = Some(Layer { digest: digest::digest(&archive), size: archive.len() as u64 });
    (record, archive)
}

#[test]
fn files_come_out_as_they_went_in() {
    let (record, archive) = pack(&files());
    assert_eq!(unpack(&record, &archive).unwrap(), files());
    assert_eq!(pack(&files()).1, archive, "the same files give the same bytes");
    let (empty, archive) = pack(&Files::new());
    assert_eq!(unpack(&empty, &archive).unwrap(), Files::new());
}

#[test]
fn other_programs_can_read_the_archive() {
    let (_, archive) = pack(&files());
    let tar = zstd::stream::decode_all(archive.as_slice()).unwrap();
    let mut found = Files::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        assert_eq!(entry.header().mode().unwrap(), if path.ends_with("a.ko") { 0o755 } else { 0o644 });
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.insert(path, bytes);
    }
    assert_eq!(found, files());
}

#[test]
fn a_file_that_changed_is_not_packed() {
    for wrong in [b"".as_slice(), b"abd", b"abcd"] {
        let listed = listed(&BTreeMap::from([("x".to_owned(), b"abc".to_vec())]));
        let result = layer::write(&listed, |_| Ok(wrong), io::sink());
        assert!(matches!(result, Err(LayerError::Content(_))), "{result:?}");
    }
}

#[test]
fn what_the_callback_does_not_read_is_checked_too() {
    let (mut record, archive) = pack(&files());
    assert!(layer::unpack(&record, archive.as_slice(), |_, _| Ok(())).is_ok());
    record.files[3].sha256 = "0".repeat(64);
    let result = layer::unpack(&record, archive.as_slice(), |_, _| Ok(()));
    assert!(matches!(result, Err(LayerError::Content(_))), "{result:?}");
    let failing = layer::unpack(&record, archive.as_slice(), |_, _| Err(io::Error::other("disk full")));
    assert!(failing.unwrap_err().to_string().contains("disk full"));
}

#[test]
fn an_archive_of_something_else_is_refused() {
    let one = BTreeMap::from([("module/c.ko".to_owned(), b"abc".to_vec())]);
    let good = zstd::stream::decode_all(pack(&one).1.as_slice()).unwrap();
    let (record, archive) = forge(listed(&one), &good);
    unpack(&record, &archive).unwrap();

    let entry = |kind: tar::EntryType, link: &str, path: &str, change: fn(&mut tar::Header)| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(if link.is_empty() { 3 } else { 0 });
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        change(&mut header);
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, if link.is_empty() { b"abc".as_slice() } else { b"" }).unwrap();
        builder.into_inner().unwrap()
    };
    let regular = tar::EntryType::Regular;
    let mut twice = good[..1024].to_vec();
    twice.extend(&good);
    let mut trailing = good.clone();
    trailing.extend([0; 512]);
    let mut dirty = good.clone();
    dirty[600] = 1;
    let archives: Vec<(&str, Vec<u8>)> = vec![
        ("link", entry(tar::EntryType::Symlink, "/etc/shadow", "module/c.ko", |_| ())),
        ("hard link", entry(tar::EntryType::Link, "/etc/shadow", "module/c.ko", |_| ())),
        ("device", entry(tar::EntryType::Char, "x", "module/c.ko", |_| ())),
        ("path", entry(regular, "", "../../etc/c.ko", |_| ())),
        ("set-user-id", entry(regular, "", "module/c.ko", |h| h.set_mode(0o4755))),
        ("owner", entry(regular, "", "module/c.ko", |h| h.set_uid(1000))),
        ("size", entry(regular, "", "module/c.ko", |h| h.set_size(1 << 40))),
        ("twice", twice),
        ("trailing", trailing),
        ("padding", dirty),
        ("cut", good[..1536].to_vec()),
        ("cut in a file", good[..513].to_vec()),
        ("empty", Vec::new()),
    ];
    assert!(entry(regular, "", "module/c.ko", |_| ()) == good, "the helper writes the right header");
    for (what, tar) in archives {
        let (record, archive) = forge(listed(&one), &tar);
        assert!(unpack(&record, &archive).is_err(), "{what}");
    }
    let (mut record, archive) = forge(listed(&one), &good);
    record.layer = None;
    assert!(matches!(unpack(&record, &archive), Err(LayerError::NoLayer)));
}

#[test]
fn bombs_are_not_expanded() {
    let one = BTreeMap::from([("module/a.ko".to_owned(), b"abc".to_vec())]);
    // 256 MiB of zeros in a few KiB.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 19).unwrap();
    io::copy(&mut io::repeat(0).take(256 << 20), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    let mut refused = record(listed(&one));
    refused.layer = Some(Layer { digest: digest::digest(&bomb), size: bomb.len() as u64 });
    assert!(unpack(&refused, &bomb).is_err());
    // A window that needs 128 MiB of memory.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&[0; 4096]).unwrap();
    let wide = encoder.finish().unwrap();
    refused.layer = Some(Layer { digest: digest::digest(&wide), size: wide.len() as u64 });
    assert!(unpack(&refused, &wide).unwrap_err().to_string().contains("memory"));
    // Longer than announced.
    let (record, mut archive) = pack(&files());
    archive.extend([0; 100]);
    assert!(unpack(&record, &archive).is_err());
}

fn signed_manifest(keys: &[&SigningKey]) -> (Record, Vec<u8>) {
    let (record, _) = pack(&files());
    let json = record.to_json().unwrap();
    let annotations = keys.iter().map(|key| key.sign(&json).unwrap()).collect();
    (record, Manifest::new(json, annotations).unwrap().to_json().unwrap())
}

fn key() -> (SigningKey, PublicKey) {
    let key = SigningKey::generate().unwrap();
    let public = key.public().unwrap();
    (key, public)
}

#[test]
fn a_signed_manifest_is_accepted() {
    let ((key, public), (_, other)) = (key(), key());
    let (record, json) = signed_manifest(&[&key]);
    let trusted = [other.clone(), public.clone()];
    let (accepted, by) = manifest::accept(&json, &record.fingerprint, &trusted).unwrap();
    assert_eq!((accepted, &by), (record.clone(), public.id()));
    assert_eq!(Manifest::parse(&json).unwrap().to_json().unwrap(), json);

    let unknown = manifest::accept(&json, &record.fingerprint, &[other]);
    assert!(matches!(unknown, Err(ManifestError::Signature(_))), "{unknown:?}");
    let replayed = manifest::accept(&json, &"0".repeat(64), &trusted);
    assert!(matches!(replayed, Err(ManifestError::Fingerprint { .. })), "{replayed:?}");
}

#[test]
fn a_changed_manifest_is_refused() {
    let (key, public) = key();
    let (record, json) = signed_manifest(&[&key]);
    let text = String::from_utf8(json).unwrap();
    let layer = record.layer.as_ref().unwrap();
    let changes: [(&str, &str, String); 9] = [
        ("another layer", &layer.digest, digest::digest(b"evil")),
        ("another size", &format!("\"size\":{}", layer.size), "\"size\":1".into()),
        ("artifact", "\"artifactType\":\"application/vnd.dkms.build.v1\"", "\"artifactType\":\"x\"".into()),
        ("media type", "manifest.v1+json", "index.v1+json".into()),
        ("compression", "tar+zstd", "tar+gzip".into()),
        ("version", "\"schemaVersion\":2", "\"schemaVersion\":1".into()),
        ("data", "\"data\":\"", "\"data\":\"AAAA".into()),
        ("no data", "\"data\":\"", "\"other\":\"".into()),
        ("signature", "\"dev.dkms.signature.", "\"dev.dkms.other.".into()),
    ];
    for (what, from, to) in changes {
        let changed = text.replace(from, &to);
        assert_ne!(changed, text, "{what}");
        assert!(
            manifest::accept(changed.as_bytes(), &record.fingerprint, std::slice::from_ref(&public)).is_err(),
            "{what}"
        );
    }
    let two = text.replace(
        "\"layers\":[",
        &format!("\"layers\":[{{\"mediaType\":\"x\",\"digest\":\"{0}\",\"size\":1}},", layer.digest),
    );
    assert!(Manifest::parse(two.as_bytes()).is_err());
    let long = text + &" ".repeat(manifest::MAX_BYTES);
    assert!(matches!(Manifest::parse(long.as_bytes()), Err(ManifestError::TooLong(_))));
    let deep = "[".repeat(100_000);
    assert!(matches!(Manifest::parse(deep.as_bytes()), Err(ManifestError::Syntax(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any damage to an archive is found, and none causes a panic.
    #[test]
    fn a_damaged_archive_is_refused(place in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        let (record, archive) = pack(&files());
        let mut damaged = archive.clone();
        damaged[place.index(archive.len())] ^= 1 << bit;
        prop_assert!(unpack(&record, &damaged).is_err());
        prop_assert!(unpack(&record, &archive[..cut.index(archive.len())]).is_err());
    }

    /// Any damage to a manifest is found, if it changes the record or the archive.
    #[test]
    fn a_damaged_manifest_is_refused(place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (key, public) = key();
        let (record, mut json) = signed_manifest(&[&key]);
        let place = place.index(json.len());
        json[place] ^= 1 << bit;
        if let Ok((accepted, _)) = manifest::accept(&json, &record.fingerprint, &[public]) {
            prop_assert_eq!(accepted, record);
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), text in "\\PC*") {
        let (record, _) = pack(&files());
        let _ = (Manifest::parse(&bytes), Manifest::parse(text.as_bytes()), Record::parse(&bytes));
        let _ = (unpack(&record, &bytes), SigningKey::from_pem(&text), PublicKey::from_pem(&text));
        let _ = PublicKey::from_der(&bytes);
        let tar = zstd::bulk::compress(&bytes, 1).unwrap();
        prop_assert!(unpack(&record, &tar).is_err());
    }

    #[test]
    fn every_set_of_files_survives(files in prop::collection::btree_map("[a-z]{1,120}(/[a-z]{1,60}){0,3}", prop::collection::vec(any::<u8>(), 0..2000), 0..6)) {
        let (record, archive) = pack(&files);
        prop_assert_eq!(unpack(&record, &archive).unwrap(), files);
    }
}
