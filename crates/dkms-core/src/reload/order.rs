//! The order in which modules are unloaded.

use super::error::{Kept, Obstacle};
use crate::kernel::running::{LoadedModule, Running};
use kmodule::ModuleName;
use std::collections::BTreeSet;

/// Returns the loaded modules among `wanted`, each after the modules that use it. They are loaded again in
/// the opposite order.
///
/// # Errors
/// All reasons why one of them cannot be unloaded. Processes that use a module are not checked here.
pub(super) fn unload_order(
    running: &Running,
    wanted: &BTreeSet<ModuleName>,
) -> Result<Vec<ModuleName>, Vec<Kept>> {
    let mut open: Vec<(&ModuleName, &LoadedModule)> =
        wanted.iter().filter_map(|name| Some((name, running.get(name)?))).collect();
    let kept: Vec<Kept> = open
        .iter()
        .filter_map(|(name, module)| {
            Some(Kept { module: (*name).clone(), obstacle: obstacle(module, wanted)? })
        })
        .collect();
    if !kept.is_empty() {
        return Err(kept);
    }
    let mut order: Vec<ModuleName> = Vec::new();
    while !open.is_empty() {
        let free = open.iter().position(|(_, module)| module.holders.iter().all(|h| order.contains(h)));
        // The kernel allows no cycle of holders; a torn list ends here, and rmmod then reports it.
        let (name, _) = open.remove(free.unwrap_or(0));
        order.push(name.clone());
    }
    Ok(order)
}

fn obstacle(module: &LoadedModule, wanted: &BTreeSet<ModuleName>) -> Option<Obstacle> {
    let Some(users) = module.users.filter(|_| !module.permanent) else { return Some(Obstacle::Permanent) };
    if !module.live {
        return Some(Obstacle::NotLive);
    }
    let foreign: Vec<ModuleName> = module.holders.iter().filter(|h| !wanted.contains(h)).cloned().collect();
    if !foreign.is_empty() {
        return Some(Obstacle::Modules(foreign));
    }
    let others = users.saturating_sub(module.holders.len() as u64);
    (others > 0).then(|| Obstacle::Users(others, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(list: &str) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("modules");
        std::fs::write(&file, list).unwrap();
        Running::at(&file, dir.path())
    }

    fn order(list: &str, wanted: &[&str]) -> Result<Vec<String>, String> {
        let wanted = wanted.iter().map(|name| ModuleName::new(name)).collect();
        let found = unload_order(&running(list), &wanted);
        let text = |kept: Vec<Kept>| kept.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        found.map(|order| order.iter().map(|m| m.as_str().to_owned()).collect()).map_err(text)
    }

    #[test]
    fn users_come_before_what_they_use() {
        let list = "a 1 2 b,c, Live 0\nb 1 1 c, Live 0\nc 1 0 - Live 0\n";
        assert_eq!(order(list, &["a", "b", "c"]).unwrap(), ["c", "b", "a"]);
        assert_eq!(order(list, &["a", "b-not-there", "c", "b"]).unwrap(), ["c", "b", "a"]);
        assert!(order(list, &["other"]).unwrap().is_empty());
    }

    #[test]
    fn everything_in_the_way_is_reported() {
        let list =
            "a 1 3 b, Live 0\nb 1 0 - Live 0\nc 1 0 [permanent], Live 0\nd 1 - - Live 0\ne 1 0 - Loading 0\n";
        assert_eq!(order(list, &["a"]).unwrap_err(), "a is used by the modules b");
        assert_eq!(order(list, &["a", "b"]).unwrap_err(), "a is in use (2 references, by whom is not known)");
        assert_eq!(
            order(list, &["c", "d", "e"]).unwrap_err(),
            "c cannot be unloaded from this kernel; d cannot be unloaded from this kernel; \
             e is being loaded or unloaded"
        );
    }
}
