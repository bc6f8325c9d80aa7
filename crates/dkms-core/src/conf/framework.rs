//! Loads `/etc/dkms/framework.conf`, then `framework.conf.d/*.conf`; each file overrides the previous files.

use super::bash::Evaluator;
use super::load::evaluate_file;
use crate::conf::ConfError;
use crate::error::Result;
use crate::event::Sink;
use crate::system::System;
use dkms_conf::framework_conf::FrameworkConf;
use dkms_conf::lint::Code;
use dkms_conf::{Diagnostic, Dialect, Directives, State};
use dkms_tree::layout::Layout;
use std::path::{Path, PathBuf};

/// Returns the configuration files that exist, in the order in which they are read.
///
/// # Errors
/// The directory of fragments cannot be read. This is not ignored, because a fragment may make dkms stricter.
pub fn files(config_dir: &Path) -> dkms_sys::Result<Vec<PathBuf>> {
    let fragments = config_dir.join("framework.conf.d");
    let mut names = dkms_sys::fs::list_dir_optional(&fragments)?;
    names.retain(|name| {
        let name = name.as_encoded_bytes();
        name.ends_with(b".conf") && !name.starts_with(b".")
    });
    names.sort();
    let main = config_dir.join("framework.conf");
    let all = std::iter::once(main).chain(names.into_iter().map(|name| fragments.join(name)));
    Ok(all.filter(|path| path.exists()).collect())
}

/// Returns a warning for each setting in framework.conf and its fragments that dkms does not know.
pub fn unknown_settings(config_dir: &Path) -> Vec<String> {
    // Files that cannot be read are reported when the configuration is loaded.
    let paths = files(config_dir).unwrap_or_default();
    let read = |path: &PathBuf| {
        let bytes = dkms_sys::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let texts: Vec<String> = paths.iter().map(read).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let describe = |unknown: dkms_conf::lint::UnknownSetting| {
        let path = paths.get(unknown.file);
        let position = path.map_or_else(String::new, |path| format!("{}:{}: ", path.display(), unknown.line));
        let suggestion = unknown.meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        format!("{position}{} is not a setting of dkms and has no effect{suggestion}", unknown.name)
    };
    dkms_conf::lint::unknown_settings(&texts).into_iter().map(describe).collect()
}

/// Evaluates the framework configuration. If there is a kernel release, `$kernelver` is set to it: sign_file,
/// mok_*, post_transaction and build_environment are evaluated separately for each kernel.
///
/// # Errors
/// [`ConfError::Invalid`] with each error and its position.
pub fn load(system: &System, sink: &dyn Sink, kernel_release: Option<&str>) -> Result<FrameworkConf> {
    evaluate(&Evaluator::new(system, sink), &system.layout, kernel_release)
}

/// Like [`load`], but needs no [`System`], which contains the result.
///
/// # Errors
/// As [`load`].
pub fn evaluate(
    evaluator: &Evaluator<'_>,
    layout: &Layout,
    kernel_release: Option<&str>,
) -> Result<FrameworkConf> {
    let paths = files(evaluator.config_dir)?;
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
        directives = evaluate_file(evaluator, path, &text, &state, Dialect::Framework)?.0;
        texts.push((path.clone(), String::from_utf8_lossy(&text).into_owned()));
    }
    let (conf, mut problems) = FrameworkConf::from_directives(&directives);
    if let Some(other) = conf.build_users.and_then(crate::confine::overlap) {
        let message = format!("build_users overlaps the IDs of {other}");
        let help = "use IDs that are not in use on this machine";
        problems.push(Diagnostic::error(Code::Setting, message, help).about("build_users", None));
    }
    let errors: Vec<_> = problems.into_iter().map(|problem| super::load::locate(problem, &texts)).collect();
    if errors.is_empty() { Ok(conf) } else { Err(ConfError::Invalid(errors).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_that_cannot_be_listed_are_not_an_empty_configuration() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(files(dir.path()).unwrap(), Vec::<PathBuf>::new());
        let fragments = dir.path().join("framework.conf.d");
        std::fs::write(&fragments, "").unwrap();
        assert!(files(dir.path()).is_err());
        std::fs::remove_file(&fragments).unwrap();
        std::fs::create_dir(&fragments).unwrap();
        for name in ["b.conf", "a.conf", ".c.conf", "d.conf.rpmsave"] {
            std::fs::write(fragments.join(name), "").unwrap();
        }
        std::fs::write(dir.path().join("framework.conf"), "").unwrap();
        let paths = files(dir.path()).unwrap();
        let names: Vec<_> = paths.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["framework.conf", "a.conf", "b.conf"]);
    }
}
