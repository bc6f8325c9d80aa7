//! Comparison with the kernel's sign-file and OpenSSL: the same bytes, and each accepts the other's
//! signatures.

mod common;

use common::{has, modules, run, sign_files, skip};
use kmodule::mok;
use kmodule::sign::{self, Certificate, Hash, Key, KeyError, SignError, VerifyError};
use std::fs;
use std::path::Path;
use std::process::Command;

fn openssl(directory: &Path, arguments: &str) -> Vec<u8> {
    run(Command::new("openssl").current_dir(directory).args(arguments.split(' ')))
}

/// `NAME.key` (PEM) and `NAME.der` for one algorithm, e.g. `rsa:3072`.
fn make_pair(directory: &Path, name: &str, algorithm: &str, more: &str) {
    let line = format!(
        "req -new -x509 -nodes -sha256 -days 99 -batch -newkey {algorithm} -keyout {name}.key -outform DER \
         -out {name}.der -subj /O=Test/CN=Key_{name}{more}"
    );
    openssl(directory, &line);
}

fn pair(directory: &Path, name: &str) -> (Key, Certificate) {
    let key = Key::parse(&fs::read(directory.join(format!("{name}.key"))).unwrap()).unwrap();
    let certificate = Certificate::parse(&fs::read(directory.join(format!("{name}.der"))).unwrap()).unwrap();
    (key, certificate)
}

fn sign_with_tool(tool: &Path, directory: &Path, hash: Hash, name: &str, module: &[u8]) -> Option<Vec<u8>> {
    fs::write(directory.join("in.ko"), module).unwrap();
    let status = Command::new(tool)
        .current_dir(directory)
        .args([hash.config_name(), &format!("{name}.key"), &format!("{name}.der"), "in.ko", "out.ko"])
        .output()
        .unwrap();
    status.status.success().then(|| fs::read(directory.join("out.ko")).unwrap())
}

fn test_modules() -> Vec<Vec<u8>> {
    let found: Vec<Vec<u8>> =
        modules(3).iter().map(|file| sign::strip_signature(&fs::read(file).unwrap()).to_vec()).collect();
    // The format does not depend on the content; without real modules any bytes are good enough.
    if found.is_empty() { vec![Vec::new(), b"not even a module".to_vec()] } else { found }
}

/// Every digest and module with a key of `bits`, against every sign-file there is.
fn byte_identical_with_sign_file(bits: usize) {
    let tools = sign_files();
    if tools.is_empty() || !has("openssl") {
        return skip("needs openssl and a kernel's sign-file");
    }
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    make_pair(directory, "k", &format!("rsa:{bits}"), "");
    let (key, certificate) = pair(directory, "k");
    assert_eq!(key.bits(), bits);
    let modules = test_modules();
    let mut compared = 0;
    for hash in Hash::ALL {
        for module in &modules {
            let ours = sign::sign_with(module, &[(&key, &certificate)], hash).unwrap();
            assert_eq!(sign::strip_signature(&ours), module);
            assert_eq!(sign::verify(&ours, &certificate), Ok(()));
            for tool in &tools {
                // An OpenSSL may refuse SHA-1 or not know SHA-3.
                let Some(theirs) = sign_with_tool(tool, directory, hash, "k", module) else { continue };
                assert!(ours == theirs, "{hash} with {bits} bits differs from {}", tool.display());
                compared += 1;
            }
        }
    }
    assert!(compared >= 4 * modules.len() * tools.len(), "sign-file accepted only {compared} cases");
}

#[test]
fn byte_identical_with_sign_file_2048() {
    byte_identical_with_sign_file(2048);
}

#[test]
fn byte_identical_with_sign_file_3072() {
    byte_identical_with_sign_file(3072);
}

#[test]
fn byte_identical_with_sign_file_4096() {
    byte_identical_with_sign_file(4096);
}

/// Serial numbers with the high bit set, subjects that are not UTF8String, long subjects.
#[test]
fn unusual_certificates() {
    let tools = sign_files();
    let (Some(tool), true) = (tools.first(), has("openssl")) else {
        return skip("needs openssl and a kernel's sign-file");
    };
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let long = format!("/OU={}/L={}", "x".repeat(60), "y".repeat(60));
    for (name, more) in
        [("high", " -set_serial 0xF0000000000000000001"), ("one", " -set_serial 1"), ("long", &long)]
    {
        make_pair(directory, name, "rsa:2048", more);
        let (key, certificate) = pair(directory, name);
        assert_eq!(certificate.subject_cn(), format!("Key_{name}"));
        let theirs = sign_with_tool(tool, directory, Hash::Sha256, name, b"module").unwrap();
        assert!(
            sign::sign_with(b"module", &[(&key, &certificate)], Hash::Sha256).unwrap() == theirs,
            "{name}"
        );
        assert_eq!(sign::verify(&theirs, &certificate), Ok(()));
    }
}

/// The same bytes as OpenSSL's for two keys; each of them verifies, a third one does not.
#[test]
fn two_signers_in_one_message() {
    if !has("openssl") {
        return skip("needs openssl");
    }
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    for name in ["old", "new", "third"] {
        make_pair(directory, name, "rsa:2048", "");
        openssl(directory, &format!("x509 -inform DER -in {name}.der -out {name}.crt"));
    }
    let pairs = ["old", "new", "third"].map(|name| pair(directory, name));
    let [(old, old_certificate), (new, new_certificate), (_, third)] = &pairs;
    fs::write(directory.join("module"), b"a module").unwrap();
    for order in
        [[(old, old_certificate), (new, new_certificate)], [(new, new_certificate), (old, old_certificate)]]
    {
        let signed = sign::sign_with(b"a module", &order, Hash::Sha256).unwrap();
        let info = sign::signature(&signed).unwrap();
        openssl(
            directory,
            "cms -sign -binary -noattr -nocerts -md sha256 -in module -outform DER -out theirs -signer old.crt -inkey old.key \
             -signer new.crt -inkey new.key",
        );
        assert!(signed[info.pkcs7.clone()] == fs::read(directory.join("theirs")).unwrap());
        let mut names = [info.signer, info.others.concat()];
        names.sort();
        assert_eq!(names, ["Key_new", "Key_old"]);
        for certificate in [old_certificate, new_certificate] {
            assert_eq!(sign::verify(&signed, certificate), Ok(()));
            let changed = [b"A", &signed[1..]].concat();
            assert_eq!(sign::verify(&changed, certificate), Err(VerifyError::BadSignature));
        }
        assert!(matches!(sign::verify(&signed, third), Err(VerifyError::OtherSigner { .. })));
        // Signing again replaces both.
        assert_eq!(sign::strip_signature(&signed), b"a module");
    }
}

#[test]
fn a_changed_byte_is_detected() {
    let tools = sign_files();
    let (Some(tool), true) = (tools.first(), has("openssl")) else {
        return skip("needs openssl and a kernel's sign-file");
    };
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    make_pair(directory, "a", "rsa:2048", "");
    make_pair(directory, "b", "rsa:2048", "");
    let (a, certificate) = pair(directory, "a");
    let (b, other) = pair(directory, "b");
    let module = b"some bytes that stand for a module".repeat(20);
    let mut signed = sign_with_tool(tool, directory, Hash::Sha512, "a", &module).unwrap();
    assert_eq!(sign::verify(&signed, &certificate), Ok(()));
    assert!(matches!(sign::verify(&signed, &other), Err(VerifyError::OtherSigner { .. })));
    let info = sign::signature(&signed).unwrap();
    assert_eq!((info.signer.as_str(), info.hash), ("Key_a", Some(Hash::Sha512)));
    assert_eq!(info.serial, certificate.serial());
    for position in (0..module.len()).step_by(41) {
        signed[position] ^= 1;
        assert_eq!(sign::verify(&signed, &certificate), Err(VerifyError::BadSignature));
        signed[position] ^= 1;
    }
    let last = info.pkcs7.end - 1;
    signed[last] ^= 1;
    assert_eq!(sign::verify(&signed, &certificate), Err(VerifyError::BadSignature));
    assert!(matches!(
        sign::sign_with(&module, &[(&b, &certificate)], Hash::Sha256),
        Err(SignError::KeyMismatch { .. })
    ));
    assert!(certificate.matches(&a) && !certificate.matches(&b));
    assert_eq!(sign::verify(&module, &certificate), Err(VerifyError::NotSigned));
    // Signing a signed module replaces the signature.
    let again = sign::sign_with(&signed, &[(&a, &certificate)], Hash::Sha512).unwrap();
    assert_eq!(sign::verify(&again, &certificate), Ok(()));
    assert_eq!(again.len(), signed.len());
}

#[test]
fn signatures_of_a_distribution_are_read() {
    let files = modules(50);
    if files.is_empty() || !has("modinfo") {
        return skip("needs modinfo and unpacked signed modules");
    }
    let mut seen = 0;
    for file in &files {
        let data = fs::read(file).unwrap();
        let Some(info) = sign::signature(&data) else { continue };
        let theirs = |field: &str| {
            String::from_utf8(run(Command::new("modinfo").args(["-F", field]).arg(file)))
                .unwrap()
                .trim()
                .to_owned()
        };
        assert_eq!(info.signer, theirs("signer"), "{}", file.display());
        assert_eq!(info.hash.map(Hash::config_name), Some(theirs("sig_hashalgo").as_str()));
        // modinfo shows a leading zero byte, which is part of the encoding only.
        let key = theirs("sig_key");
        assert_eq!(info.serial_hex(), key.strip_prefix("00:").unwrap_or(&key));
        seen += 1;
    }
    assert!(seen >= 40, "{seen} of {} are signed", files.len());
}

#[test]
fn every_key_file_form() {
    if !has("openssl") {
        return skip("needs openssl");
    }
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    make_pair(directory, "k", "rsa:2048", "");
    let (key, certificate) = pair(directory, "k");
    let read = |name: &str| fs::read(directory.join(name)).unwrap();
    openssl(directory, "rsa -in k.key -traditional -out pkcs1.pem");
    openssl(directory, "rsa -in k.key -traditional -outform DER -out pkcs1.der");
    openssl(directory, "pkcs8 -topk8 -nocrypt -in k.key -outform DER -out pkcs8.der");
    for form in ["pkcs1.pem", "pkcs1.der", "pkcs8.der"] {
        assert_eq!(Key::parse(&read(form)).as_ref(), Ok(&key), "{form}");
    }
    openssl(directory, "x509 -in k.der -inform DER -out k.pem");
    let both = [read("k.pem"), read("k.key")].concat();
    assert_eq!(Key::parse(&both).as_ref(), Ok(&key));
    assert_eq!(Certificate::parse(&both).as_ref(), Ok(&certificate));
    let both = [read("pkcs1.pem"), b"\nsome text\n".to_vec(), read("k.pem")].concat();
    assert_eq!((Key::parse(&both), Certificate::parse(&both)), (Ok(key), Ok(certificate)));

    openssl(directory, "pkcs8 -topk8 -in k.key -passout pass:secret -out enc8.pem");
    openssl(directory, "pkcs8 -topk8 -in k.key -passout pass:secret -outform DER -out enc8.der");
    openssl(directory, "rsa -in k.key -traditional -aes128 -passout pass:secret -out enc1.pem");
    for form in ["enc8.pem", "enc8.der", "enc1.pem"] {
        assert_eq!(Key::parse(&read(form)), Err(KeyError::Encrypted), "{form}");
    }
    openssl(directory, "ecparam -name prime256v1 -genkey -noout -out ec.pem");
    openssl(directory, "pkcs8 -topk8 -nocrypt -in ec.pem -out ec8.pem");
    openssl(directory, "ec -in ec.pem -outform DER -out ec.der");
    openssl(directory, "genpkey -algorithm ed25519 -out ed.pem");
    for form in ["ec.pem", "ec8.pem", "ec.der", "ed.pem"] {
        assert!(matches!(Key::parse(&read(form)), Err(KeyError::UnsupportedKeyType(_))), "{form}");
    }
    assert_eq!(Key::parse(&read("k.pem")), Err(KeyError::NotAKey));
    assert_eq!(Key::parse(b"hello"), Err(KeyError::NotAKey));
}

#[test]
fn certificate_fields() {
    if !has("openssl") {
        return skip("needs openssl");
    }
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    make_pair(directory, "k", "rsa:2048", "");
    let (_, certificate) = pair(directory, "k");
    let show = |what: &str| {
        String::from_utf8(openssl(directory, &format!("x509 -in k.der -inform DER -noout {what}"))).unwrap()
    };
    let plain = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    assert_eq!(show("-serial").trim(), format!("serial={}", plain(certificate.serial())));
    assert_eq!(
        show("-fingerprint -sha256").trim().replace(':', ""),
        format!("sha256 Fingerprint={}", plain(&certificate.fingerprint()))
    );
    assert_eq!(
        show("-fingerprint -sha1").trim().replace(':', ""),
        format!("sha1 Fingerprint={}", plain(&certificate.fingerprint_sha1()))
    );
    assert!(
        show("-ext subjectKeyIdentifier")
            .replace(':', "")
            .contains(&plain(certificate.subject_key_id().unwrap()))
    );
    assert_eq!(certificate.subject_cn(), "Key_k");
    assert_eq!(certificate.not_after() - certificate.not_before(), 99 * 86_400);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now as i64 - certificate.not_before()).abs() < 600);
}

#[test]
fn key_types_and_uses() {
    if !has("openssl") {
        return skip("needs openssl");
    }
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    let modules_only = " -addext extendedKeyUsage=codeSigning,1.3.6.1.4.1.2312.16.1.2";
    for (algorithm, more, kind, ca, usage) in [
        ("rsa:1024", "", "RSA 1024", true, &[][..]),
        ("rsa:2050", modules_only, "RSA 2050", true, &["codeSigning", "kernel modules only"]),
        ("ec -pkeyopt ec_paramgen_curve:P-256", " -addext basicConstraints=CA:FALSE", "EC P-256", false, &[]),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "", "EC P-384", true, &[]),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", "", "EC 1.3.132.0.10", true, &[]),
        ("ed25519", " -addext extendedKeyUsage=serverAuth", "Ed25519", true, &["1.3.6.1.5.5.7.3.1"]),
    ] {
        make_pair(directory, "t", algorithm, more);
        let c = Certificate::parse(&fs::read(directory.join("t.der")).unwrap()).unwrap();
        assert_eq!(c.key_type().to_string(), kind);
        assert_eq!(c.subject(), "O=Test, CN=Key_t");
        assert_eq!(
            (c.is_ca(), c.extended_key_usage()),
            (ca, &usage.iter().map(|usage| (*usage).to_owned()).collect::<Vec<_>>()[..])
        );
    }
}

#[test]
fn a_new_machine_owner_key() {
    let tools = sign_files();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (key_pem, certificate_der) =
        mok::generate(mok::COMMON_NAME, mok::DAYS, &mut mok::OsRng, now).unwrap();
    let key = Key::parse(&key_pem).unwrap();
    let certificate = Certificate::parse(&certificate_der).unwrap();
    assert!(certificate.matches(&key));
    assert_eq!(key.bits(), 2048);
    assert_eq!(certificate.subject_cn(), "DKMS module signing key");
    assert_eq!(certificate.not_before(), now as i64);
    assert_eq!(certificate.not_after(), now as i64 + 36_500 * 86_400);
    assert_eq!(certificate.der(), certificate_der);
    let ours = sign::sign_with(b"module", &[(&key, &certificate)], Hash::Sha256).unwrap();
    assert_eq!(sign::verify(&ours, &certificate), Ok(()));
    if !has("openssl") {
        return skip("the rest needs openssl");
    }
    let place = tempfile::tempdir().unwrap();
    let directory = place.path();
    fs::write(directory.join("m.key"), &key_pem).unwrap();
    fs::write(directory.join("m.der"), &certificate_der).unwrap();
    let text = String::from_utf8(openssl(directory, "x509 -in m.der -inform DER -noout -text")).unwrap();
    for part in [
        "Version: 3",
        "sha256WithRSAEncryption",
        "Issuer: CN = DKMS module signing key",
        "Public-Key: (2048 bit)",
        "Subject Key Identifier",
        "Authority Key Identifier",
        "Basic Constraints: critical",
        "CA:FALSE",
        "Code Signing",
    ] {
        // OpenSSL 3.2 writes "CN=…".
        assert!(text.replace(" = ", "=").contains(&part.replace(" = ", "=")), "{part} is missing:\n{text}");
    }
    openssl(directory, "x509 -in m.der -inform DER -out m.pem");
    // -partial_chain: a self-signed certificate that is not a CA is its own trust anchor.
    openssl(directory, "verify -check_ss_sig -partial_chain -trusted m.pem m.pem");
    openssl(directory, "rsa -in m.key -check -noout");
    for tool in &tools {
        let theirs = sign_with_tool(tool, directory, Hash::Sha256, "m", b"module").unwrap();
        assert!(ours == theirs, "{}", tool.display());
    }
}
