//! The order in which modules are unloaded.

use super::error::{Kept, Obstacle};
use crate::kernel::running::{LoadedModule, Running};
use kmodule::ModuleName;
use std::collections::BTreeSet;

/// Returns those of `names` that are loaded, each after the modules that use it. They are loaded again in
/// reverse order.
///
/// # Errors
/// Every reason why one of them cannot be unloaded, without the processes that use it.
pub(super) fn unload_order(
    running: &Running,
    names: &BTreeSet<ModuleName>,
) -> Result<Vec<ModuleName>, Vec<Kept>> {
    let mut remaining: Vec<(&ModuleName, &LoadedModule)> =
        names.iter().filter_map(|name| Some((name, running.get(name)?))).collect();
    let kept: Vec<Kept> = remaining
        .iter()
        .filter_map(|(name, module)| {
            Some(Kept { module: (*name).clone(), obstacle: obstacle(module, names)? })
        })
        .collect();
    if !kept.is_empty() {
        return Err(kept);
    }
    let mut order: Vec<ModuleName> = Vec::new();
    while !remaining.is_empty() {
        let is_unused = |module: &LoadedModule| module.holders.iter().all(|holder| order.contains(holder));
        let unused = remaining.iter().position(|(_, module)| is_unused(module));
        // There are no cycles in the kernel. If the list was inconsistent when it was read, rmmod reports
        // that.
        let (name, _) = remaining.remove(unused.unwrap_or(0));
        order.push(name.clone());
    }
    Ok(order)
}

/// Returns the reason why a module cannot be unloaded together with `names`.
fn obstacle(module: &LoadedModule, names: &BTreeSet<ModuleName>) -> Option<Obstacle> {
    let Some(users) = module.users.filter(|_| !module.permanent) else { return Some(Obstacle::Permanent) };
    if !module.live {
        return Some(Obstacle::NotLive);
    }
    let foreign: Vec<ModuleName> = module.holders.iter().filter(|h| !names.contains(h)).cloned().collect();
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

    fn order(list: &str, names: &[&str]) -> Result<Vec<String>, String> {
        let names = names.iter().map(|name| ModuleName::new(name)).collect();
        let text = |kept: Vec<Kept>| kept.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        unload_order(&running(list), &names)
            .map(|order| order.iter().map(|m| m.as_str().to_owned()).collect())
            .map_err(text)
    }

    #[test]
    fn modules_come_after_their_users() {
        let list = "a 1 2 b,c, Live 0\nb 1 1 c, Live 0\nc 1 0 - Live 0\n";
        assert_eq!(order(list, &["a", "b", "c"]).unwrap(), ["c", "b", "a"]);
        assert_eq!(order(list, &["a", "b-not-there", "c", "b"]).unwrap(), ["c", "b", "a"]);
        assert!(order(list, &["other"]).unwrap().is_empty());
    }

    #[test]
    fn all_obstacles_are_reported() {
        let list =
            "a 1 3 b, Live 0\nb 1 0 - Live 0\nc 1 0 [permanent], Live 0\nd 1 - - Live 0\ne 1 0 - Loading 0\n";
        assert_eq!(order(list, &["a"]).unwrap_err(), "a is used by the modules b");
        assert_eq!(order(list, &["a", "b"]).unwrap_err(), "a is in use (2 references by unknown users)");
        assert_eq!(
            order(list, &["c", "d", "e"]).unwrap_err(),
            "c cannot be unloaded from this kernel; d cannot be unloaded from this kernel; \
             e is being loaded or unloaded"
        );
    }
}
