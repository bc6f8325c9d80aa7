//! One file per group of actions. Each translates the command line into a call of dkms-core.

mod cache;
mod call;
mod config;
mod debian;
mod fsck;
mod image;
mod kernel;
mod lint;
mod mok;
mod package;
mod packaging;
mod preflight;
mod ready;
mod registry;
mod reload;
mod report;
mod rpm;
mod status;
mod sysext;
mod tarball;
mod verify;

use self::call::Call;
use crate::actions::{Action, Effect, Operand, Root};
use crate::answer::Answer;
use crate::cli::{self, Arguments};
use crate::default_version;
use crate::request::{self, Subject};
use crate::ui::Ui;
use dkms_core::error::{Error, Result};
use dkms_core::event::{Event, Sink};
use dkms_core::hold::Caller;
use dkms_core::host::Host;
use dkms_core::request::{RequestError, UsageError};
use dkms_core::secret::Secret;
use dkms_core::system::System;
use dkms_core::tree::layout::Layout;

/// Runs the action of a command line.
pub(crate) fn run(arguments: &mut Arguments, pin: Option<Secret>, ui: &Ui) -> Result<Answer> {
    let Some(action) = arguments.action else {
        return Err(cli::unknown_action(&arguments.words).into());
    };
    if let Some(second) = arguments.second_action {
        return Err(RequestError::TwoActions(action.word().into(), second.word().into()).into());
    }
    let entered = crate::root::enter(arguments)?;
    let arguments = &*arguments;
    let mut host = crate::host::gather(entered.as_ref(), pin)?;
    // The operands of these actions do not name packages.
    let mut subject =
        if matches!(action.row().operand, Operand::Words(_) | Operand::Kernels | Operand::Output) {
            Subject::default()
        } else {
            Subject::from_arguments(arguments)?
        };
    let words = request::check(arguments)?;
    let (mut layout, mut settings) = crate::settings::resolve(arguments, &host, ui)?;
    if let Some(entered) = &entered {
        entered.mount_trees(&layout)?;
        match &entered.cache {
            Some(dir) => layout.cache_dir.clone_from(dir),
            None => settings.no_cache = true,
        }
    }
    crate::surroundings::recognise_image(&mut host, &layout, action);
    if action == Action::KernelPostinst {
        host.package_manager_run = crate::managed::run();
    }
    ui.set_verbose(settings.verbose);
    prepare(arguments, &mut host, ui)?;
    let sink: &dyn Sink = ui;
    let system = System::new(layout, host, settings);
    default_version::complete(&mut subject, action, &system, sink)?;
    let call = Call { arguments, subject: &subject, words: &words, system: &system, sink, ui };
    if arguments.dry_run && matches!(action.row().effect, Effect::Queries | Effect::Evaluates) {
        return Err(UsageError::DryRunOfQuery { action: action.word().into() }.into());
    }
    if action.row().root == Root::Always {
        call.require_root()?;
    }
    if action.row().writable_tree {
        call.require_writable_tree()?;
    }
    if action.row().effect == Effect::Queries {
        check_readable(&system.layout, sink)?;
    }
    if arguments.recovers_first() && !arguments.dry_run && dkms_sys::fs::writable(&system.layout.dkms_tree) {
        dkms_core::install::recover::recover_interrupted(&system, sink)?;
    }
    let answer = perform(&call, action);
    finish(&call, action, answer.as_ref().err());
    answer
}

/// Reports directories that cannot be read, because queries would show them as empty.
///
/// # Errors
/// The tree itself cannot be listed.
fn check_readable(layout: &Layout, sink: &dyn Sink) -> Result<()> {
    for name in dkms_sys::fs::list_dir_optional(&layout.dkms_tree)? {
        let package = layout.dkms_tree.join(&name);
        if !name.as_encoded_bytes().starts_with(b".") && dkms_sys::fs::is_hidden_dir(&package) {
            sink.warn(format!(
                "{} cannot be read, so its versions and builds are not known",
                package.display()
            ));
        }
    }
    Ok(())
}

/// Does what follows an action, even if it failed: writes the page of `--timings`, and updates the kernels
/// that are held back.
fn finish(call: &Call<'_>, action: Action, error: Option<&Error>) {
    let (arguments, system, sink) = (call.arguments, call.system, call.sink);
    if arguments.dry_run {
        return;
    }
    if let Some(recorder) = call.ui.recorder().filter(|_| !action.row().is_document()) {
        crate::timings::finish(recorder, arguments, system, sink, error);
    }
    if action.row().effect == Effect::Changes {
        let caller = if action == Action::KernelPostinst { Caller::KernelHook } else { Caller::Command };
        if let Err(e) = dkms_core::hold::refresh(system, sink, caller) {
            sink.warn(format!("what is held (hold_kernel) could not be updated: {e}"));
        }
    }
}

/// Calls the function of an action.
fn perform(call: &Call<'_>, action: Action) -> Result<Answer> {
    let arguments = call.arguments;
    match action {
        Action::Status => return status::status(call),
        Action::Config => return config::config(call),
        Action::Lint => return lint::lint(call),
        // fsck describes the repair of each finding in any case, so a dry run is the same as a check.
        Action::Fsck => return fsck::fsck(call, arguments.repair && !arguments.dry_run),
        Action::Verify => return verify::verify(call),
        Action::Ready => return ready::ready(call),
        Action::Pending => return ready::pending(call),
        Action::Report => return report::report(call),
        Action::Preflight => return preflight::preflight(call),
        Action::Add | Action::Build | Action::Install => package::bring_in(call, action),
        Action::Uninstall | Action::Unbuild | Action::Remove => package::uninstall_or_remove(call, action),
        Action::Match => kernel::match_kernel(call),
        Action::Autoinstall | Action::KernelPostinst => kernel::autoinstall(call, action),
        Action::KernelPreinst | Action::KernelPrerm => kernel::clear(call, action),
        Action::GenerateMok => mok::generate(call),
        Action::KernelHold => return kernel::hold(call),
        Action::Mok => mok::mok(call),
        Action::Reload => reload::reload(call),
        Action::Cache => cache::cache(call),
        Action::Mktarball => tarball::make(call),
        Action::Mkdeb | Action::Mkdsc | Action::Mkbmdeb => debian::make(call, action),
        Action::Mkrpm | Action::Mkkmp | Action::Mkdriverdisk => rpm::make(call, action),
        Action::Mkimage => image::make(call),
        Action::Mksysext => sysext::make(call),
        Action::Ldtarball => tarball::load(call),
        Action::Push => registry::push(call),
        Action::Pull => registry::pull(call),
        Action::Matrix => registry::matrix(call),
        Action::RegistryKey => registry::key(call),
    }
    .map(|()| Answer::Yes)
}

/// Warns about options without effect, and prepares the process for actions that may change something.
fn prepare(arguments: &Arguments, host: &mut Host, ui: &Ui) -> Result<()> {
    for option in arguments.deprecated() {
        let text = format!("{} has no effect any more and can be omitted", option.name());
        ui.event(Event::Warning { text });
    }
    if let Some(text) = request::without_effect(arguments) {
        ui.event(Event::Warning { text });
    }
    if arguments.is_query() {
        return Ok(());
    }
    if host.distribution.is_none() {
        return Err(host.distribution_unknown());
    }
    dkms_sys::sys::set_umask(0o022);
    if let Err(e) = dkms_sys::signal::install() {
        ui.event(Event::Warning { text: format!("interrupts cannot be handled: {e}") });
    }
    Ok(())
}
