//! Checks of the cache of builds. A repair removes damaged files; the builds themselves are not affected.

use super::about::About;
use super::finding::{Finding, Kind, Remedy};
use super::spot::Inspection;
use crate::cache::{Cache, Problem};

impl Inspection<'_> {
    /// Checks the cache of builds.
    pub(super) fn cache(&self) -> Vec<Finding> {
        let cache = Cache::to_inspect(self.system);
        let damaged = |path: &std::path::Path, what: String| {
            Finding::new(Kind::CacheDamaged, About::default(), path, what)
        };
        if let Some(why) = cache.distrust() {
            let finding = damaged(cache.dir(), format!("is not used as the cache of builds: {why}"));
            return vec![finding.by_hand("remove it, or change its owner to root and its mode to 0755")];
        }
        let problems = cache.problems().unwrap_or_else(|e| {
            self.unreadable.borrow_mut().insert(e.to_string());
            Vec::new()
        });
        let finding = |problem: Problem| {
            let remedy = Remedy::DropFromCache(problem.path.clone());
            damaged(&problem.path, problem.what).safely(remedy, "remove it from the cache")
        };
        problems.into_iter().map(finding).collect()
    }
}
