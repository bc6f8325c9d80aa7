//! `generate_mok` and `mok`: the key pair that signs modules.

use super::call::Call;
use crate::cli::Arguments;
use crate::render::mok as render;
use crate::render::numbers::count;
use crate::request;
use dkms_core::conf::framework;
use dkms_core::error::Result;
use dkms_core::event::Event;
use dkms_core::ids::Kernel;
use dkms_core::plan::{Operation, Plan};
use dkms_core::request::UsageError;
use dkms_core::trust::mok::{self, Enrolled, Rotated, Status, Taken};
use dkms_core::trust::signing::{self, KeyPair};
use dkms_core::{actions, finally};

/// The subcommand of `dkms mok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Status,
    Enroll,
    Rotate,
}

impl Verb {
    /// The subcommand that the operand names; without an operand, `status`.
    fn from_arguments(arguments: &Arguments) -> Result<Self> {
        let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
        if arguments.module.is_some() || arguments.module_version.is_some() {
            let action = "mok".into();
            return Err(UsageError::NoModule { action, operands: "[status|enroll|rotate]" }.into());
        }
        match words.as_slice() {
            [] | ["status"] => Ok(Self::Status),
            ["enroll"] => Ok(Self::Enroll),
            ["rotate"] => Ok(Self::Rotate),
            other => Err(UsageError::UnknownWord {
                action: "mok".into(),
                word: other.join(" "),
                known: &["status", "enroll", "rotate"],
                meant: None,
            }
            .into()),
        }
    }
}

/// `dkms mok`
pub(super) fn mok(call: &Call<'_>) -> Result<()> {
    let verb = Verb::from_arguments(call.arguments)?;
    let kernel = request::one_kernel(call.system, call.arguments, call.words)?;
    match verb {
        Verb::Status if call.arguments.dry_run => {
            Err(UsageError::DryRunOfQuery { action: "mok status".into() }.into())
        }
        Verb::Status => {
            show(call, &mok::status(call.system, call.sink, &kernel)?, None, "");
            Ok(())
        }
        Verb::Enroll => {
            call.require_root()?;
            let plan = mok::plan_enrolment(call.system, call.sink, &kernel)?;
            call.print_or_execute(plan, |plan| enroll(call, &kernel, &plan))
        }
        Verb::Rotate => {
            call.require_root()?;
            call.require_writable_tree()?;
            let plan = mok::plan_rotation(call.system, call.sink, &kernel, call.overrides())?;
            call.print_or_execute(plan, |plan| rotate(call, &kernel, &plan))
        }
    }
}

fn enroll(call: &Call<'_>, kernel: &Kernel, plan: &Plan) -> Result<()> {
    let (done, status) = mok::enroll(call.system, call.sink, kernel, plan)?;
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
    Ok(())
}

fn rotate(call: &Call<'_>, kernel: &Kernel, plan: &Plan) -> Result<()> {
    let (done, status) = mok::rotate(call.system, call.sink, kernel, plan)?;
    let (word, text) = match &done {
        Rotated::Waits(kernels) => ("waits", waiting_text(kernels)),
        Rotated::Taken(taken) => {
            finally::once_per_command(call.system, call.sink, &taken.changed, false);
            ("taken", taken_text(call, taken))
        }
    };
    show(call, &status, Some(word), &format!("{text}Next: {}\n", status.next.text));
    Ok(())
}

fn waiting_text(kernels: &[Kernel]) -> String {
    let names: Vec<&str> = kernels.iter().map(|kernel| kernel.release.as_str()).collect();
    format!(
        "The new key waits: it is not trusted yet, and there are kernels that require signatures: {} (--force uses it anyway)\n",
        names.join(", ")
    )
}

fn taken_text(call: &Call<'_>, taken: &Taken) -> String {
    for (path, why) in &taken.left {
        call.sink.event(Event::Detail { text: format!("{} is unchanged: {why}", path.display()) });
    }
    let (files, left) = (taken.files, taken.left.len());
    let were = if files == 1 { "was" } else { "were" };
    let mut text = format!("The new key is in use; {} {were} re-signed", count(files, "file"));
    if left > 0 {
        text.push_str(&format!(", {left} not signed with the old key are unchanged"));
    }
    text.push('\n');
    if !taken.changed.is_empty() {
        text.push_str(
            "An initramfs that contains such a module has its old signature until the initramfs is rebuilt\n",
        );
    }
    text
}

/// Prints the full status after a query, and `text` after a change. JSON contains both.
fn show(call: &Call<'_>, status: &Status, done: Option<&str>, text: &str) {
    if call.arguments.json {
        call.ui.data(&render::document(status, done));
    } else if done.is_none() {
        call.ui.data(&render::text(status));
    } else {
        call.ui.data(text);
    }
}

/// The key pair for the given kernel, or for the running one: its paths may contain `$kernelver`.
fn pair(call: &Call<'_>) -> Result<KeyPair> {
    let release = call.words.releases.first().map_or(call.system.host.release.as_str(), String::as_str);
    signing::key_pair(call.system, &framework::load(call.system, call.sink, Some(release))?, None)
}

/// `dkms generate_mok`
pub(super) fn generate(call: &Call<'_>) -> Result<()> {
    let pair = pair(call)?;
    let plan = if signing::is_complete(&pair)? {
        let reason = format!("is there: {} with {}", pair.key, pair.certificate.display());
        Plan::single(Operation::Nothing("the signing key".into()), reason)
    } else {
        let make = Operation::MakeKey { key: pair.key.clone(), certificate: pair.certificate.clone() };
        Plan::single(make, "there is none")
    };
    call.print_or_execute(plan, |plan| {
        actions::report_nothing(call.ui, &plan);
        signing::ensure(call.system, call.sink, &pair).map(|_| ())
    })
}
