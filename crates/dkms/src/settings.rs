//! Determines the trees and settings: defaults, then framework.conf, then the command line, which has
//! precedence.

use crate::cli::Arguments;
use crate::operand::absolute;
use dkms_conf::framework_conf::{FrameworkConf, Prebuilt};
use dkms_core::conf::bash::Evaluator;
use dkms_core::conf::framework;
use dkms_core::error::Result;
use dkms_core::event::{Event, Sink};
use dkms_core::host::Host;
use dkms_core::registry::RegistryError;
use dkms_core::request::{RequestError, UsageError};
use dkms_core::system::Settings;
use dkms_core::tree::layout::Layout;
use std::path::{Path, PathBuf};

/// Returns the trees and settings of a command.
///
/// # Errors
/// An option has an invalid value, or framework.conf is invalid and the action is not a query.
pub(crate) fn resolve(arguments: &Arguments, host: &Host, sink: &dyn Sink) -> Result<(Layout, Settings)> {
    let mut layout = Layout::default();
    let mut settings = from_command_line(arguments, host)?;
    // framework.conf is evaluated with the default confinement, because it could change that.
    let evaluator = Evaluator {
        config_dir: &layout.config_dir,
        host,
        tmp_location: &settings.tmp_location,
        framework: &FrameworkConf::default(),
        sink,
    };
    let framework = load_framework(arguments, &evaluator, &layout)?;
    override_path(&mut layout.dkms_tree, framework.dkms_tree.as_deref());
    override_path(&mut layout.source_tree, framework.source_tree.as_deref());
    override_path(&mut layout.install_tree, framework.install_tree.as_deref());
    arguments.set_trees(&mut layout);
    override_path(&mut settings.tmp_location, framework.tmp_location.as_deref());
    let is_set = |setting: Option<bool>| setting == Some(true);
    settings.verbose = arguments.verbose || arguments.debug || is_set(framework.verbose);
    settings.symlink_modules = arguments.symlink_modules || is_set(framework.symlink_modules);
    settings.modprobe_on_install = arguments.modprobe_on_install || is_set(framework.modprobe_on_install);
    settings.jobs = arguments.jobs.or(framework.parallel_jobs);
    let lock_timeout = arguments.lock_timeout.or(framework.lock_timeout);
    let registry = registries(arguments)?.or(framework.registry);
    let prebuilt = prebuilt(arguments)?.or(framework.prebuilt);
    settings.framework = FrameworkConf { lock_timeout, registry, prebuilt, ..framework };
    Ok((layout, settings))
}

/// The settings of the command line, except for those that framework.conf can set as well.
fn from_command_line(arguments: &Arguments, host: &Host) -> Result<Settings> {
    // TMPDIR is a directory of the machine, not of the other root.
    let tmp = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty() && host.other_root.is_none());
    Ok(Settings {
        conf_file: arguments.conf.clone(),
        kernel_config: arguments.config.clone(),
        kernel_source_dir: arguments.kernelsourcedir.as_deref().map(absolute),
        no_depmod: arguments.no_depmod,
        no_cache: arguments.no_cache,
        tmp_location: tmp.map_or_else(|| "/tmp".into(), PathBuf::from),
        signing: signing(arguments)?,
        directives: directives(arguments)?,
        ..Settings::default()
    })
}

/// The registries of the command line.
fn registries(arguments: &Arguments) -> Result<Option<Vec<String>>> {
    for name in &arguments.registries {
        if let Err(reason) = dkms_conf::registry::check(name) {
            return Err(RegistryError::BadName { name: name.clone(), reason }.into());
        }
    }
    Ok(Some(arguments.registries.clone()).filter(|names| !names.is_empty()))
}

/// `--prebuilt` of the command line.
fn prebuilt(arguments: &Arguments) -> Result<Option<Prebuilt>> {
    let Some(word) = arguments.prebuilt.as_deref() else { return Ok(None) };
    let unknown = || UsageError::BadValue {
        option: "--prebuilt",
        value: word.to_owned(),
        expected: "prefer, only or off",
    };
    Ok(Some(Prebuilt::from_word(word).ok_or_else(unknown)?))
}

fn directives(arguments: &Arguments) -> Result<Vec<(String, String)>> {
    let parse = |directive: &String| match directive.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.to_owned())),
        None => Err(RequestError::from(UsageError::BadValue {
            option: "--directive",
            value: directive.clone(),
            expected: "NAME=VALUE",
        })
        .into()),
    };
    arguments.directives.iter().map(parse).collect()
}

/// Reads framework.conf. If it is invalid, a query uses the defaults.
fn load_framework(
    arguments: &Arguments,
    evaluator: &Evaluator<'_>,
    layout: &Layout,
) -> Result<FrameworkConf> {
    let warn = |text: String| evaluator.sink.event(Event::Warning { text });
    let loaded = framework::evaluate(evaluator, layout, None);
    if arguments.is_query() {
        return Ok(loaded.unwrap_or_else(|e| {
            warn(format!("{e}\n  the defaults are used"));
            FrameworkConf::default()
        }));
    }
    let framework = loaded?;
    framework::unknown_settings(evaluator.config_dir).into_iter().for_each(warn);
    Ok(framework)
}

fn override_path(path: &mut PathBuf, setting: Option<&str>) {
    if let Some(setting) = setting.filter(|path| !path.is_empty()) {
        *path = absolute(Path::new(setting));
    }
}

/// The key pair that the command line names.
fn signing(arguments: &Arguments) -> Result<Option<(String, PathBuf)>> {
    match (&arguments.mok_signing_key, &arguments.mok_certificate) {
        (None, None) => Ok(None),
        (Some(key), Some(certificate)) => {
            let is_token = key.to_string_lossy().starts_with("pkcs11:");
            // A key on the command line must exist. dkms creates only the default key.
            for (option, file) in [("--mok-signing-key", key), ("--mok-certificate", certificate)] {
                let is_in_token = is_token && file == key;
                if !is_in_token && !file.exists() {
                    let path = file.clone();
                    return Err(UsageError::NoSuchFile { option, path, kind: "file" }.into());
                }
            }
            let key = if is_token { key.clone() } else { absolute(key) };
            Ok(Some((key.to_string_lossy().into_owned(), absolute(certificate))))
        }
        _ => Err(UsageError::HalfOfPair(["--mok-signing-key", "--mok-certificate"]).into()),
    }
}
