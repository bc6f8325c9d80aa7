//! `generate_mok` and `mok`: the key pair that signs modules.

use super::Call;
use crate::cli::Arguments;
use crate::render::mok as render;
use crate::request;
use dkms_core::conf::framework;
use dkms_core::error::Result;
use dkms_core::event::Event;
use dkms_core::finally;
use dkms_core::ids::Kernel;
use dkms_core::mok::{self, Enrolled, Rotated, Status, Taken};
use dkms_core::plan::{Step, What};
use dkms_core::request::RequestError;
use dkms_core::signing::{self, KeyPair};

/// What `dkms mok` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Status,
    Enroll,
    Rotate,
}

impl Verb {
    /// The word behind `mok`; none is `status`.
    pub fn of(arguments: &Arguments) -> Result<Self> {
        let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
        if arguments.module.is_some() || arguments.module_version.is_some() {
            return Err(RequestError::Usage("mok is about the signing key, not about a module".into()).into());
        }
        match words.as_slice() {
            [] | ["status"] => Ok(Self::Status),
            ["enroll"] => Ok(Self::Enroll),
            ["rotate"] => Ok(Self::Rotate),
            other => Err(RequestError::Usage(format!(
                "mok does not know '{}': write dkms mok, or dkms mok status, enroll or rotate",
                other.join(" ")
            ))
            .into()),
        }
    }
}

/// `dkms mok`
pub fn mok(call: &Call<'_>) -> Result<()> {
    let verb = Verb::of(call.arguments)?;
    let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
    match verb {
        Verb::Status => {
            show(call, &mok::status(call.s, &kernel)?, None, "");
        }
        Verb::Enroll => {
            call.require_root()?;
            let (done, status) = mok::enroll(call.s, &kernel)?;
            let (word, text) = match &done {
                Enrolled::Already(path) => {
                    ("already-enrolled", format!("Nothing to do: this machine trusts {}", path.display()))
                }
                Enrolled::Waits(path) => {
                    ("already-waits", format!("Nothing to do: {} waits to be enrolled", path.display()))
                }
                Enrolled::Asked(path) => ("asked", format!("{} waits to be enrolled", path.display())),
            };
            show(call, &status, Some(word), &format!("{text}\nNext: {}\n", status.next.text));
        }
        Verb::Rotate => {
            call.require_root()?;
            call.s.require_writable_tree()?;
            let (done, status) = mok::rotate(call.s, &kernel)?;
            let (word, text) = match &done {
                Rotated::Waits(kernels) => ("waits", waits(kernels)),
                Rotated::Taken(taken) => {
                    finally::once_per_command(call.s, &taken.changed, false);
                    ("taken", took(call, taken))
                }
            };
            show(call, &status, Some(word), &format!("{text}Next: {}\n", status.next.text));
        }
    }
    Ok(())
}

fn waits(kernels: &[Kernel]) -> String {
    let names: Vec<&str> = kernels.iter().map(|k| k.release.as_str()).collect();
    format!(
        "The new key waits: it is not trusted yet, and there are kernels that insist on signatures: {} (--force takes it all the same)\n",
        names.join(", ")
    )
}

fn took(call: &Call<'_>, taken: &Taken) -> String {
    for (path, why) in &taken.left {
        call.s.tell(Event::Detail { text: format!("{} is left as it is: {why}", path.display()) });
    }
    let (files, left) = (taken.files, taken.left.len());
    let mut text = match files {
        1 => "The new key is in use; 1 file was signed anew".to_owned(),
        n => format!("The new key is in use; {n} files were signed anew"),
    };
    if left > 0 {
        text.push_str(&format!(", {left} not signed with the old key are as they were"));
    }
    text.push('\n');
    if !taken.changed.is_empty() {
        text.push_str(
            "An initramfs that holds such a module has it with the old signature until it is made anew\n",
        );
    }
    text
}

/// What `dkms mok enroll` or `rotate` would do.
pub fn dry_run(call: &Call<'_>) -> Result<Vec<Step>> {
    let kernel = request::one_kernel(call.s, call.arguments, call.words)?;
    let mut steps = Vec::new();
    match Verb::of(call.arguments)? {
        Verb::Status => {
            return Err(RequestError::Usage(
                "mok status changes nothing, so --dry-run means nothing there".into(),
            )
            .into());
        }
        Verb::Enroll => match mok::to_be_enrolled(call.s, &kernel)? {
            Ok(certificate) => {
                steps.push(Step::new(What::Enroll(certificate), "this machine does not trust it yet"));
            }
            Err(why) => steps.push(Step::new(What::Nothing("the enrolment".into()), why)),
        },
        Verb::Rotate => {
            let (made, waits, builds) = mok::foresee(call.s, &kernel)?;
            if let Some(pair) = made {
                let what = What::MakeKey { key: pair.key, certificate: pair.certificate };
                steps.push(Step::new(what, "no new pair waits"));
            }
            for k in &waits {
                let why =
                    format!("kernel {} insists on signatures, and the new key is not trusted yet", k.release);
                steps.push(Step::new(What::Nothing("the modules".into()), why));
            }
            let sign = |b| Step::new(What::Resign(b), "what the old key signed is signed with the new one");
            steps.extend(builds.into_iter().map(sign));
        }
    }
    Ok(steps)
}

/// The whole status after looking, else what was done; always the whole as JSON.
fn show(call: &Call<'_>, status: &Status, done: Option<&str>, text: &str) {
    if call.arguments.json {
        call.ui.data(&render::document(status, done));
    } else if done.is_none() {
        call.ui.data(&render::text(status));
    } else {
        call.ui.data(text);
    }
}

/// The pair of the kernel that is named, else of the running one: `$kernelver` may be in its paths.
pub fn pair(call: &Call<'_>) -> Result<KeyPair> {
    let release = call.words.releases.first().unwrap_or(&call.s.host.release);
    signing::key_pair(call.s, &framework::load(call.s, Some(release))?, None)
}

/// `dkms generate_mok`
pub fn generate(call: &Call<'_>) -> Result<()> {
    let pair = pair(call)?;
    if !signing::ensure(call.s, &pair)? {
        call.s.tell(Event::Nothing {
            about: "the signing key".into(),
            reason: format!("is there: {} with {}", pair.key, pair.certificate.display()),
        });
    }
    Ok(())
}
