//! The modules in depmod's order, which symbols lead from one to another, and an order for loading them.

use super::decline::Decline;
use super::hash::sort_by_bucket;
use super::types::{Module, Name};
use crate::index::facts::Facts;
use std::collections::{BTreeSet, HashMap};

/// Buckets of kmod's table of modules and of its table of symbols.
const MODULE_BUCKETS: u32 = 512;
const SYMBOL_BUCKETS: u32 = 2048;

/// One module among all.
pub(super) struct Node<'a> {
    /// The kernel's name of it.
    pub(super) name: String,
    /// Below the kernel's directory.
    pub(super) path: &'a str,
    stem: &'a str,
    pub(super) facts: &'a Facts<'a>,
    /// Modules that it needs itself, in the order of its symbols; each once.
    needs: Vec<usize>,
    /// Position in the topological order: what needs others comes before them.
    rank: usize,
}

/// All modules, in the order in which they are listed.
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// Exported symbols with the module that has them, in the order in which they are listed.
    pub(super) symbols: Vec<(&'a str, usize)>,
}

impl<'a> Graph<'a> {
    /// # Errors
    /// Modules that need each other in a circle, or a `modules.order` without its last newline.
    pub(super) fn new(modules: &[Module<'a>], order: &str) -> Result<Self, Decline> {
        let mut nodes = nodes(modules)?;
        sort(&mut nodes, order)?;
        let owners = owners(&nodes);
        for at in 0..nodes.len() {
            let needs = needed(&nodes, &owners, at);
            if let Some(node) = nodes.get_mut(at) {
                node.needs = needs;
            }
        }
        rank(&mut nodes)?;
        let mut symbols: Vec<(&str, usize)> = owners.into_iter().collect();
        sort_by_bucket(&mut symbols, SYMBOL_BUCKETS, |symbol| symbol.0);
        Ok(Self { nodes, symbols })
    }

    /// Everything that a module needs, directly or through others, in the topological order.
    pub(super) fn all_needs(&self, node: &Node<'_>) -> Vec<&Node<'a>> {
        let mut found = BTreeSet::new();
        let mut open = node.needs.clone();
        while let Some(at) = open.pop() {
            let Some(needed) = self.nodes.get(at) else { continue };
            if found.insert((needed.rank, at)) {
                open.extend(&needed.needs);
            }
        }
        found.into_iter().filter_map(|(_, at)| self.nodes.get(at)).collect()
    }
}

fn nodes<'a>(modules: &[Module<'a>]) -> Result<Vec<Node<'a>>, Decline> {
    let node = |module: &Module<'a>| {
        let Name { module: name, stem } = Name::from_path(module.path)?;
        Ok(Node {
            name: name.into(),
            path: module.path,
            stem,
            facts: module.facts,
            needs: Vec::new(),
            rank: 0,
        })
    };
    modules.iter().map(node).collect()
}

/// Those that `modules.order` lists come first, in its order; the others as kmod's table of modules has them.
fn sort(nodes: &mut [Node<'_>], order: &str) -> Result<(), Decline> {
    if !order.is_empty() && !order.ends_with('\n') {
        return Err(Decline::new("modules.order has no newline at its end"));
    }
    // A path that is listed twice has its last place.
    let places: HashMap<&str, usize> = order
        .lines()
        .enumerate()
        .map(|(line, path)| (path.strip_suffix(".ko").unwrap_or(path), line))
        .collect();
    sort_by_bucket(nodes, MODULE_BUCKETS, |node| &node.name);
    nodes.sort_by_key(|node| places.get(node.stem).copied().unwrap_or(usize::MAX));
    Ok(())
}

/// Which module exports a symbol: the last one that does.
fn owners<'a>(nodes: &[Node<'a>]) -> HashMap<&'a str, usize> {
    let exports = nodes.iter().enumerate().map(|(at, node)| (at, node.facts));
    exports.flat_map(|(at, facts)| facts.exports.iter().map(move |name| (*name, at))).collect()
}

/// The modules whose symbols a module needs, each once.
fn needed(nodes: &[Node<'_>], owners: &HashMap<&str, usize>, at: usize) -> Vec<usize> {
    let mut needs = Vec::new();
    for symbol in nodes.get(at).map(|node| &node.facts.needs).into_iter().flatten() {
        // As kmod looks it up: functions of 64-bit PowerPC have a dot before their name.
        let symbol = symbol.strip_prefix('.').unwrap_or(symbol);
        if let Some(owner) = owners.get(symbol).filter(|owner| !needs.contains(*owner)) {
            needs.push(*owner);
        }
    }
    needs
}

/// Numbers the modules so that each comes before those that it needs: the last one that nothing open needs is next.
fn rank(nodes: &mut [Node<'_>]) -> Result<(), Decline> {
    let mut users = vec![0usize; nodes.len()];
    for needed in nodes.iter().flat_map(|node| &node.needs) {
        if let Some(count) = users.get_mut(*needed) {
            *count += 1;
        }
    }
    let mut ready: Vec<usize> = (0..nodes.len()).filter(|at| users.get(*at) == Some(&0)).collect();
    let mut ranked = 0;
    while let Some(at) = ready.pop() {
        let Some(node) = nodes.get_mut(at) else { continue };
        node.rank = ranked;
        ranked += 1;
        for needed in &node.needs {
            let Some(count) = users.get_mut(*needed) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                ready.push(*needed);
            }
        }
    }
    if ranked == nodes.len() { Ok(()) } else { Err(Decline::new("some modules need each other in a circle")) }
}
