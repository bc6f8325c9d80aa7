//! Checks of the cache of builds. A repair removes damaged files; the builds themselves are not affected.

use super::about::About;
use super::finding::{Finding, Kind, Remedy};
use super::spot::Inspection;
use crate::cache::Cache;

impl Inspection<'_> {
    /// The cache of builds.
    pub(super) fn cache(&self) -> Vec<Finding> {
        let cache = Cache::to_inspect(self.system);
        let finding_of = |path: &std::path::Path, what: String| {
            Finding::new(Kind::CacheDamaged, About::default(), path, what)
        };
        if let Some(why) = cache.distrust() {
            let finding = finding_of(cache.dir(), format!("is not used as the cache of builds: {why}"));
            return vec![finding.by_hand("remove it, or give it to root with mode 0755")];
        }
        match cache.problems() {
            Ok(problems) => problems
                .into_iter()
                .map(|problem| {
                    let remedy = Remedy::DropFromCache(problem.path.clone());
                    finding_of(&problem.path, problem.what).safely(remedy, "removing it from the cache")
                })
                .collect(),
            Err(e) => {
                self.unreadable.borrow_mut().insert(e.to_string());
                Vec::new()
            }
        }
    }
}
