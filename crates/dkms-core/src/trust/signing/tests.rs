use super::*;
use crate::event::Silent;
use crate::host::Host;
use crate::system::System;
use crate::trust::signing::SigningError;
use dkms_tree::layout::Layout;
use std::fs;

/// Calls `f` with an empty machine below a scratch directory.
fn with_system(framework: &str, f: impl FnOnce(&System, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("etc/framework.conf.d")).unwrap();
    fs::create_dir_all(root.join("tree")).unwrap();
    let framework = framework.replace("ROOT", &root.to_string_lossy());
    fs::write(root.join("etc/framework.conf"), framework).unwrap();
    let layout = Layout { dkms_tree: root.join("tree"), config_dir: root.join("etc"), ..Layout::default() };
    let host = Host { chroot: Some(false), ..Host::default() };
    f(&System::new(layout, host, Settings::default()), root);
}

fn pair_for(system: &System, release: &str) -> KeyPair {
    let framework = crate::conf::framework::load(system, &Silent, Some(release)).unwrap();
    key_pair(system, &framework, None).unwrap()
}

#[test]
fn a_pair_for_each_kernel() {
    let text = "mok_signing_key=\"ROOT/keys/$kernelver/k.pem\"\nmok_certificate=ROOT/keys/${kernelver}.der\n";
    with_system(text, |system, root| {
        for release in ["6.1.0-9-amd64", "6.12.0-1"] {
            let pair = pair_for(system, release);
            // A configured key that does not exist is assumed to be elsewhere, so no other key is created
            // instead.
            assert!(
                matches!(
                    ensure(system, &Silent, &pair),
                    Err(crate::Error::Signing(SigningError::SignFailed { .. }))
                ) && !Path::new(&pair.key).exists()
            );
            fs::create_dir_all(root.join(format!("keys/{release}"))).unwrap();
            assert_eq!(Path::new(&pair.key), root.join(format!("keys/{release}/k.pem")));
            assert_eq!(pair.certificate, root.join(format!("keys/{release}.der")));
            assert!(ensure(system, &Silent, &pair).unwrap() && !ensure(system, &Silent, &pair).unwrap());
        }
        let one = fs::read(root.join("keys/6.12.0-1.der")).unwrap();
        assert_ne!(one, fs::read(root.join("keys/6.1.0-9-amd64.der")).unwrap());
    });
}

#[test]
fn one_file_for_key_and_certificate() {
    with_system("mok_signing_key=ROOT/both.pem\nmok_certificate=ROOT/both.pem\n", |system, root| {
        use std::os::unix::fs::PermissionsExt;
        let pair = pair_for(system, "6.1.0");
        assert!(
            pair.is_one_file()
                && ensure(system, &Silent, &pair).unwrap()
                && !ensure(system, &Silent, &pair).unwrap()
        );
        let file = root.join("both.pem");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(&file).unwrap();
        let certificate = read_certificate(&file).unwrap();
        assert!(certificate.matches(&Key::parse(&bytes).unwrap()));
    });
}

#[test]
fn half_a_pair_is_left_alone() {
    with_system("", |system, root| {
        let pair = pair_for(system, "6.1.0");
        fs::write(root.join("tree/mok.pub"), "half").unwrap();
        assert!(ensure(system, &Silent, &pair).unwrap_err().to_string().contains("private key"));
        fs::rename(root.join("tree/mok.pub"), root.join("tree/mok.key")).unwrap();
        assert!(ensure(system, &Silent, &pair).unwrap_err().to_string().contains("certificate"));
        assert_eq!(fs::read(root.join("tree/mok.key")).unwrap(), b"half");
    });
}

#[test]
fn the_credential_comes_before_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    with_system("", |_, _| {
        let with = |credentials: Option<PathBuf>, sign_pin: Option<&str>| {
            let secrets = crate::secret::Secrets::new(credentials, sign_pin.map(Secret::new));
            let host = Host { secrets, ..Host::default() };
            pin::find(&host).unwrap()
        };
        fs::write(dir.path().join(pin::CREDENTIAL), "one\n").unwrap();
        let here = Some(dir.path().to_owned());
        assert_eq!(with(here.clone(), Some("two")), Some(Secret::new("one")));
        assert_eq!(with(None, Some("two")), Some(Secret::new("two")));
        assert_eq!(with(None, None), None);
        fs::remove_file(dir.path().join(pin::CREDENTIAL)).unwrap();
        assert_eq!(with(here, Some("two")), Some(Secret::new("two")));
    });
}
