//! The three operations: look up a tag, fetch a blob, push a manifest with its blobs.

use std::io::{Read, Write};

use dkms_bundle::digest::{Hashing, digest};
use dkms_bundle::manifest;
use dkms_bundle::protocol::Blob;
use dkms_bundle::record::is_sha256;
use dkms_sys::fs::{self, Limit};
use serde::Deserialize;

use crate::address::{Address, Registry};
use crate::client::{Answer, Payload, transfer_failure};
use crate::deadline::Deadline;
use crate::failure::{Content, Failure, Local, Unusable};
use crate::session::{Access, Context, Session};

/// The media type of the manifests that dkms can read. A registry may convert others to it.
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json";
const MAX_MANIFEST: u64 = manifest::MAX_BYTES as u64;

/// A manifest.
pub(crate) struct Found {
    /// Its digest, computed from its text.
    pub(crate) digest: String,
    /// Its text.
    pub(crate) manifest: String,
}

/// Fetches the manifest of a tag.
pub(crate) fn look_up(
    context: &Context,
    registry: &Registry,
    repository: &str,
    tag: &str,
) -> Result<Found, Failure> {
    require_tag(tag)?;
    let session = Session::new(context, registry, repository, Access::Pull, Deadline::for_size(0))?;
    let address = session.address(&format!("manifests/{tag}"));
    let answer = session.send("GET", &address, &[("accept", ACCEPT)], Payload::None)?;
    if answer.status != 200 {
        return Err(session.failure(answer.status));
    }
    let bytes = answer.read(MAX_MANIFEST)?;
    let digest = digest(&bytes);
    let manifest = String::from_utf8(bytes).map_err(Content::NotText)?;
    Ok(Found { digest, manifest })
}

/// Fetches a blob with this digest and this size in bytes to a new file in the spool.
pub(crate) fn fetch(
    context: &Context,
    registry: &Registry,
    repository: &str,
    (digest, size): (&str, u64),
    file: &str,
) -> Result<(), Failure> {
    require_digest(digest)?;
    let session = Session::new(context, registry, repository, Access::Pull, Deadline::for_size(size))?;
    let address = session.address(&format!("blobs/{digest}"));
    let answer = session.send("GET", &address, &[], Payload::None)?;
    if answer.status != 200 {
        return Err(session.failure(answer.status));
    }
    let result = save(answer, (digest, size), file);
    if result.is_err() {
        let _ = fs::remove_file(file);
    }
    result
}

fn save(mut answer: Answer, (digest, size): (&str, u64), name: &str) -> Result<(), Failure> {
    let differs = || Failure::from(Content::Differs(digest.to_owned()));
    if answer.body.content_length().is_some_and(|length| length != size) {
        return Err(differs());
    }
    let mut file = fs::create_truncated(name).map_err(Local::Io)?;
    let mut reader = Hashing::new(answer.body.as_reader().take(size.saturating_add(1)));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = reader.read(&mut buffer).map_err(transfer_failure)?;
        if count == 0 {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        file.write_all(bytes).map_err(|source| Local::File { file: name.to_owned(), source })?;
    }
    let (sha256, count, _) = reader.finish();
    if count != size || digest.strip_prefix("sha256:") != Some(&sha256) {
        return Err(differs());
    }
    Ok(())
}

/// The result of a push.
pub(crate) enum Pushed {
    /// The tag refers to the manifest with this digest now.
    New(String),
    /// The tag existed.
    Exists,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypedManifest {
    media_type: Option<String>,
}

/// The manifest and the blobs that a push publishes.
pub(crate) struct Publication<'a> {
    pub tag: &'a str,
    pub manifest: &'a str,
    pub blobs: &'a [Blob],
    /// Whether an existing tag is replaced.
    pub replace: bool,
}

/// Uploads blobs and then the manifest, unless the tag exists.
pub(crate) fn push(
    context: &Context,
    registry: &Registry,
    repository: &str,
    publication: &Publication<'_>,
) -> Result<Pushed, Failure> {
    let Publication { tag, manifest, blobs, replace } = *publication;
    require_tag(tag)?;
    let total = blobs.iter().fold(manifest.len() as u64, |sum, blob| sum.saturating_add(blob.size));
    let session = Session::new(context, registry, repository, Access::Push, Deadline::for_size(total))?;
    if !replace && has_tag(&session, tag)? {
        return Ok(Pushed::Exists);
    }
    for blob in blobs {
        upload(&session, blob)?;
    }
    // If another builder has pushed meanwhile, its build stays.
    if !replace && has_tag(&session, tag)? {
        return Ok(Pushed::Exists);
    }
    let typed: TypedManifest = serde_json::from_str(manifest).map_err(Local::Manifest)?;
    let media_type = typed.media_type.unwrap_or_else(|| ACCEPT.to_owned());
    let address = session.address(&format!("manifests/{tag}"));
    let answer = session.send(
        "PUT",
        &address,
        &[("content-type", &media_type)],
        Payload::Bytes(manifest.as_bytes()),
    )?;
    match answer.status {
        201 => Ok(Pushed::New(digest(manifest.as_bytes()))),
        400 | 413 => Err(Content::ManifestRefused(answer.status).into()),
        status => Err(session.failure(status)),
    }
}

fn has_tag(session: &Session<'_>, tag: &str) -> Result<bool, Failure> {
    let address = session.address(&format!("manifests/{tag}"));
    let answer = session.send("HEAD", &address, &[("accept", ACCEPT)], Payload::None)?;
    match answer.status {
        200 => Ok(true),
        404 => Ok(false),
        status => Err(session.failure(status)),
    }
}

fn upload(session: &Session<'_>, blob: &Blob) -> Result<(), Failure> {
    require_digest(&blob.digest)?;
    let file = open(blob)?;
    let existing =
        session.send("HEAD", &session.address(&format!("blobs/{}", blob.digest)), &[], Payload::None)?;
    match existing.status {
        200 => return Ok(()),
        404 => {}
        status => return Err(session.failure(status)),
    }
    let start = session.address("blobs/uploads/");
    let answer = session.send("POST", &start, &[("content-length", "0")], Payload::Bytes(b""))?;
    if answer.status != 202 {
        return Err(session.failure(answer.status));
    }
    let upload = upload_address(&start, answer.header("location").unwrap_or_default())?;
    let upload = upload.with_parameter("digest", &blob.digest);
    let headers = [("content-type", "application/octet-stream")];
    let answer = session.send("PUT", &upload, &headers, Payload::File(&file, blob.size))?;
    match answer.status {
        201 => Ok(()),
        400 => Err(Content::BlobRefused.into()),
        status => Err(session.failure(status)),
    }
}

fn upload_address(from: &Address, location: &str) -> Result<Address, Failure> {
    let address = from.follow(location).filter(|to| to.server.may_follow(&from.server));
    address.ok_or_else(|| Unusable::NoUploadAddress.into())
}

/// Opens the file of a blob in the spool, and checks its size and digest.
fn open(blob: &Blob) -> Result<std::fs::File, Failure> {
    let is_name = !blob.file.is_empty() && !blob.file.starts_with('.') && !blob.file.contains('/');
    if !is_name {
        return Err(Local::FileName(blob.file.clone()).into());
    }
    let file = fs::open_bounded(&blob.file, Limit::bytes(blob.size)).map_err(Local::Io)?;
    let mut reader = Hashing::new(&file);
    std::io::copy(&mut reader, &mut std::io::sink())
        .map_err(|source| Local::File { file: blob.file.clone(), source })?;
    let (sha256, size, _) = reader.finish();
    if size != blob.size || blob.digest.strip_prefix("sha256:") != Some(&sha256) {
        return Err(Local::NotAnnounced(blob.file.clone()).into());
    }
    Ok(file)
}

/// Fails unless a tag has only the characters that the specification allows. It becomes a part of an address.
fn require_tag(tag: &str) -> Result<(), Failure> {
    let is_tag = !tag.is_empty()
        && tag.len() <= 128
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if is_tag { Ok(()) } else { Err(Local::Tag(tag.to_owned()).into()) }
}

fn require_digest(digest: &str) -> Result<(), Failure> {
    if digest.strip_prefix("sha256:").is_some_and(is_sha256) {
        return Ok(());
    }
    Err(Local::Digest(digest.to_owned()).into())
}
