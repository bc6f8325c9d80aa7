//! The entry point for fuzzers.

use crate::{Dialect, Directives, State};

/// Runs all parsers for a file's text on arbitrary bytes. It must return quickly.
pub fn fuzz_evaluate(data: &[u8]) {
    let mut before = State::default();
    before.variables.insert("kernelver".into(), "6.1.0-56-amd64".into());
    before.variables.insert("arch".into(), "x86_64".into());
    let contains = |pattern: &str, text: &str| Ok(text.contains(pattern));
    for dialect in [Dialect::Module, Dialect::Framework] {
        let directives =
            crate::evaluate(data, &before, dialect, &contains).unwrap_or_else(|_| Directives::new());
        let (conf, problems) = crate::module_conf::ModuleConf::from_directives(&directives);
        let _ = crate::framework_conf::FrameworkConf::from_directives(&directives);
        let facts = crate::module_conf::KernelFacts { release: "6.1", arch: "x86_64", config: None };
        let _ = (conf.make_command("6.1", &contains), conf.patches_for("6.1", &contains));
        let _ = conf.all_excluded(&facts, &contains);
        let text = String::from_utf8_lossy(data);
        let _ = crate::suspicious(&text);
        for problem in problems.iter().take(20) {
            let _ = crate::locate(&text, &problem.directive, problem.index);
        }
    }
    let text = String::from_utf8_lossy(data);
    let evaluated = crate::evaluate(data, &before, Dialect::Module, &contains);
    let facts = crate::lint::Facts {
        directives: evaluated.as_ref().ok(),
        declined: evaluated.as_ref().err(),
        kernel_words: &["6.1.0-56-amd64".to_owned()],
        matcher: &contains,
    };
    let diagnostics = crate::lint::lint(&text, &facts);
    let _ = crate::lint::apply(&text, &diagnostics);
    let _ = crate::parse_records(data);
}
