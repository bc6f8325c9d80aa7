//! Loads `/etc/dkms/framework.conf`, then `framework.conf.d/*.conf`; each overrides the ones before.

use super::bash::Evaluator;
use super::load::evaluate_one;
use crate::conf::ConfError;
use crate::error::Result;
use crate::session::Session;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_conf::lint::Code;
use dkms_conf::{Diagnostic, Dialect, Directives, State};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// The configuration files that exist, in order.
pub fn files(config_dir: &Path) -> Vec<PathBuf> {
    let main = config_dir.join("framework.conf");
    let mut found: Vec<PathBuf> = main.exists().then_some(main).into_iter().collect();
    let mut more: Vec<PathBuf> = std::fs::read_dir(config_dir.join("framework.conf.d"))
        .map(|entries| entries.filter_map(|e| Some(e.ok()?.path())).collect())
        .unwrap_or_default();
    more.retain(|p| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.ends_with(".conf") && !name.starts_with('.') && p.exists()
    });
    more.sort();
    found.append(&mut more);
    found
}

/// Reports settings in framework.conf and its fragments that do not exist.
pub fn unknown_settings(config_dir: &Path) -> Vec<String> {
    let paths = files(config_dir);
    // The code that loads the configuration reports files that cannot be read.
    let read = |p: &PathBuf| String::from_utf8_lossy(&dkms_sys::fs::read(p).unwrap_or_default()).into_owned();
    let texts: Vec<String> = paths.iter().map(read).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let describe = |u: dkms_conf::lint::UnknownSetting| {
        let place = paths.get(u.file).map_or_else(String::new, |p| format!("{}:{}: ", p.display(), u.line));
        let meant = u.meant.map_or_else(String::new, |m| format!("; did you mean {m}?"));
        format!("{place}{} is not a setting of dkms and has no effect{meant}", u.name)
    };
    dkms_conf::lint::unknown_settings(&texts).into_iter().map(describe).collect()
}

/// Evaluates the framework configuration. With a kernel release, `$kernelver` has a value in it: sign_file,
/// mok_*, post_transaction and build_environment are evaluated that way, for each kernel.
///
/// # Errors
/// [`ConfError::Invalid`] with the file and what is wrong.
pub fn load(session: &Session<'_>, kernel_release: Option<&str>) -> Result<FrameworkConf> {
    evaluate(&session.into(), session.layout, kernel_release)
}

/// As [`load`], while the options of the command are not known yet.
///
/// # Errors
/// As [`load`].
pub fn evaluate(
    evaluator: &Evaluator<'_>,
    layout: &Layout,
    kernel_release: Option<&str>,
) -> Result<FrameworkConf> {
    let paths = files(evaluator.config_dir);
    if paths.is_empty() {
        return Ok(FrameworkConf::default());
    }
    let mut state = State::default();
    state.variables.insert("kernelver".into(), kernel_release.unwrap_or_default().to_owned());
    state.variables.insert("arch".into(), evaluator.host.machine.clone());
    state.variables.insert("dkms_tree".into(), layout.dkms_tree.to_string_lossy().into_owned());
    let mut texts = Vec::new();
    let mut directives = Directives::new();
    for path in &paths {
        let text = dkms_sys::fs::read_bounded(path, dkms_sys::fs::Limit::CONFIG)?;
        state.directives = directives;
        directives = evaluate_one(evaluator, path, &text, &state, Dialect::Framework)?.0;
        texts.push((path.clone(), String::from_utf8_lossy(&text).into_owned()));
    }
    let (conf, mut problems) = FrameworkConf::from_directives(&directives);
    if let Some(other) = conf.build_users.and_then(crate::confine::overlap) {
        let message = format!("build_users overlaps the IDs of {other}");
        let help = "IDs that nothing else on this machine has";
        problems.push(Diagnostic::error(Code::Setting, message, help).about("build_users", None));
    }
    let errors: Vec<_> = problems.into_iter().map(|found| super::load::place(found, &texts)).collect();
    if errors.is_empty() { Ok(conf) } else { Err(ConfError::Invalid(errors).into()) }
}
