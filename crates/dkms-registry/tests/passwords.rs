//! Passwords and tokens are sent only to the right servers.
#![allow(clippy::disallowed_methods, clippy::print_stderr)]

mod driver;
mod server;

use dkms_bundle::digest::digest;
use dkms_bundle::protocol::Reply;
use driver::Program;
use server::{Reaction, Server};

const AUTH: &str = r#"{"auths":{"HOST":{"auth":"dXNlcjpzZWNyZXQ="}}}"#;

#[test]
fn a_token_is_fetched_and_used_again() {
    let tokens = Server::start(|_, request| match request.header("authorization").as_deref() {
        Some("Basic dXNlcjpzZWNyZXQ=") => Reaction::Answer(200, Vec::new(), br#"{"token":"abc"}"#.to_vec()),
        _ => Reaction::status(401),
    });
    let realm = format!(
        "Bearer realm=\"http://{}/token\",service=\"s\",scope=\"repository:dkms/hello:pull\"",
        tokens.address()
    );
    let registry = Server::start(move |_, request| match request.header("authorization").as_deref() {
        Some("Bearer abc") => Reaction::Answer(200, Vec::new(), b"{}".to_vec()),
        _ => Reaction::Answer(401, vec![("WWW-Authenticate".into(), realm.clone())], Vec::new()),
    });
    let source = format!("{}/dkms", registry.address());
    let auth = AUTH.replace("HOST", &registry.address());
    let mut program = Program::start_with(Some(&auth), |_| ());
    for _ in 0..2 {
        assert!(matches!(program.look_up(&[&source], "f1-a"), Reply::Found { .. }), "{:?}", program.warnings);
    }
    assert_eq!(registry.requests().len(), 3, "the token is used again");
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?service=s&scope=repository%3Adkms%2Fhello%3Apull");
    // Without a password, the registry refuses.
    let mut program = Program::start();
    assert_eq!(program.look_up(&[&source], "f1-a"), Reply::Missing { id: 1 });
    assert!(program.warnings[0].contains("docker login"), "{:?}", program.warnings);
}

#[test]
fn a_password_goes_only_to_the_registry() {
    let blob = b"blob".to_vec();
    let other = Server::start(|_, request| {
        let leaked = request.header("authorization").is_some();
        Reaction::Answer(if leaked { 500 } else { 200 }, Vec::new(), b"blob".to_vec())
    });
    let target = format!("http://{}/elsewhere", other.address().replace("127.0.0.1", "localhost"));
    let registry = Server::start(move |_, request| match request.header("authorization").as_deref() {
        Some("Basic dXNlcjpzZWNyZXQ=") => Reaction::redirect(&target),
        _ => Reaction::Answer(401, vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())], Vec::new()),
    });
    let auth = AUTH.replace("HOST", &registry.address());
    let mut program = Program::start_with(Some(&auth), |_| ());
    assert_eq!(program.fetch(&registry.address(), &digest(&blob), 4), Ok(blob));
    assert_eq!(other.requests().len(), 1);
    // A server to which a registry redirects does not get the registry's password.
    let thief = Server::start(|_, _| {
        Reaction::Answer(401, vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())], Vec::new())
    });
    let to_thief = format!("http://{}/x", thief.address());
    let registry = Server::start(move |_, _| Reaction::redirect(&to_thief));
    let auth = AUTH.replace("HOST", &registry.address());
    let mut program = Program::start_with(Some(&auth), |_| ());
    assert!(program.fetch(&registry.address(), &digest(b"blob"), 4).is_err());
    assert_eq!(thief.requests().len(), 1);
    assert_eq!(thief.requests()[0].header("authorization"), None);
}

/// A token server with another name does not get the password of the registry.
#[test]
fn a_token_server_elsewhere_gets_no_password() {
    let challenge =
        |realm: &str| vec![("WWW-Authenticate".into(), format!("Bearer realm=\"{realm}\",service=\"s\""))];
    let registry = |realm: &str| {
        let challenge = challenge(realm);
        Server::start(move |_, request| match request.header("authorization").as_deref() {
            Some("Bearer abc") => Reaction::Answer(200, Vec::new(), b"{}".to_vec()),
            _ => Reaction::Answer(401, challenge.clone(), Vec::new()),
        })
    };
    // A token server without TLS and with another name is not contacted.
    let plain = registry("http://tokens.example/token");
    let auth = AUTH.replace("HOST", &plain.address());
    let mut program = Program::start_with(Some(&auth), |_| ());
    assert_eq!(program.look_up(&[&plain.address()], "f1-a"), Reply::Missing { id: 1 });
    assert!(program.warnings[0].contains("address for tokens"), "{:?}", program.warnings);
    // With TLS, the proxy sees a CONNECT request without a password.
    let proxy = Server::start(|_, _| Reaction::status(502));
    let secure = registry("https://tokens.example/token");
    let auth = AUTH.replace("HOST", &secure.address());
    let address = proxy.address();
    let mut program = Program::start_with(Some(&auth), |command| {
        command.env("https_proxy", format!("http://{address}"));
    });
    assert_eq!(program.look_up(&[&secure.address()], "f1-a"), Reply::Missing { id: 1 });
    assert_eq!(proxy.requests().len(), 1);
    assert_eq!(proxy.requests()[0].header("authorization"), None);
}

/// An upload goes where the registry says, without its password if that is another server.
#[test]
fn an_upload_elsewhere_gets_no_password() {
    let other = Server::start(|_, request| {
        let leaked = request.header("authorization").is_some();
        Reaction::status(if leaked { 500 } else { 201 })
    });
    let place = format!("http://{}/upload?x=1", other.address().replace("127.0.0.1", "localhost"));
    let answers = move |request: &server::Received, place: &str| {
        if request.header("authorization").as_deref() != Some("Basic dXNlcjpzZWNyZXQ=") {
            let basic = vec![("WWW-Authenticate".into(), "Basic realm=\"x\"".into())];
            return Reaction::Answer(401, basic, Vec::new());
        }
        match request.method.as_str() {
            "POST" => Reaction::Answer(202, vec![("Location".into(), place.into())], Vec::new()),
            "PUT" => Reaction::status(201),
            _ => Reaction::status(404),
        }
    };
    let registry = Server::start(move |_, request| answers(request, &place));
    let auth = AUTH.replace("HOST", &registry.address());
    let mut program = Program::start_with(Some(&auth), |_| ());
    let pushed = program.push(&registry.address(), "f1-a", b"blob", "1");
    assert!(matches!(pushed, Reply::Pushed { .. }), "{pushed:?} {:?}", program.warnings);
    assert_eq!(other.requests().len(), 1);
    assert_eq!(other.requests()[0].header("authorization"), None);
    for place in ["http://uploads.example/", "ftp://127.0.0.1/", "", "upload"] {
        let registry = Server::start(move |_, request| answers(request, place));
        let auth = AUTH.replace("HOST", &registry.address());
        let mut program = Program::start_with(Some(&auth), |_| ());
        let refused = program.push(&registry.address(), "f1-a", b"blob", "1");
        assert!(
            matches!(&refused, Reply::Failed { reason, .. } if reason.contains("upload")),
            "{place}: {refused:?}"
        );
    }
}
