//! The modules in depmod's order, their dependencies through symbols, and a topological order.

use super::decline::Decline;
use super::hash::sort_by_bucket;
use super::types::{Module, Name};
use crate::index::facts::Facts;
use std::collections::{BTreeSet, HashMap};

/// The number of buckets in kmod's hash tables of modules and symbols.
const MODULE_BUCKETS: u32 = 512;
const SYMBOL_BUCKETS: u32 = 2048;

/// One module of the graph.
pub(super) struct Node<'a> {
    /// The kernel's name for the module.
    pub(super) name: String,
    /// The path relative to the kernel's directory.
    pub(super) path: &'a str,
    stem: &'a str,
    pub(super) facts: &'a Facts<'a>,
    /// The direct dependencies, in the order of its symbols, without duplicates.
    needs: Vec<usize>,
    /// Position in the topological order: a module comes before its dependencies.
    rank: usize,
}

/// All modules, in the order in which the index lists them.
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// Exported symbols with the module that exports them, in the order in which the index lists them.
    pub(super) symbols: Vec<(&'a str, usize)>,
}

impl<'a> Graph<'a> {
    /// # Errors
    /// Cyclic dependencies, or a `modules.order` without a final newline.
    pub(super) fn new(modules: &[Module<'a>], order: &str) -> Result<Self, Decline> {
        let mut nodes = nodes(modules)?;
        sort(&mut nodes, order)?;
        let exporters = exporters(&nodes);
        for node in &mut nodes {
            node.needs = needs(node.facts, &exporters);
        }
        rank(&mut nodes)?;
        let mut symbols: Vec<(&str, usize)> = exporters.into_iter().collect();
        sort_by_bucket(&mut symbols, SYMBOL_BUCKETS, |symbol| symbol.0);
        Ok(Self { nodes, symbols })
    }

    /// All direct and indirect dependencies of a module, in topological order.
    pub(super) fn all_needs(&self, node: &Node<'_>) -> Vec<&Node<'a>> {
        let mut ranked = BTreeSet::new();
        let mut open = node.needs.clone();
        while let Some(index) = open.pop() {
            let Some(needed) = self.nodes.get(index) else { continue };
            if ranked.insert((needed.rank, index)) {
                open.extend(&needed.needs);
            }
        }
        ranked.into_iter().filter_map(|(_, index)| self.nodes.get(index)).collect()
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

/// Modules listed in `modules.order` come first, in that order; the others follow in the order of kmod's
/// module hash table.
fn sort(nodes: &mut [Node<'_>], order: &str) -> Result<(), Decline> {
    if !order.is_empty() && !order.ends_with('\n') {
        return Err(Decline::NoFinalNewline);
    }
    // A path that is listed twice takes its last position.
    let places: HashMap<&str, usize> = order
        .lines()
        .enumerate()
        .map(|(line, path)| (path.strip_suffix(".ko").unwrap_or(path), line))
        .collect();
    sort_by_bucket(nodes, MODULE_BUCKETS, |node| &node.name);
    nodes.sort_by_key(|node| places.get(node.stem).copied().unwrap_or(usize::MAX));
    Ok(())
}

/// Maps each symbol to the last module that exports it.
fn exporters<'a>(nodes: &[Node<'a>]) -> HashMap<&'a str, usize> {
    let exports = nodes.iter().enumerate().map(|(index, node)| (index, node.facts));
    exports.flat_map(|(index, facts)| facts.exports.iter().map(move |name| (*name, index))).collect()
}

/// The modules whose symbols a module needs, without duplicates.
fn needs(facts: &Facts<'_>, exporters: &HashMap<&str, usize>) -> Vec<usize> {
    let mut needs = Vec::new();
    for symbol in &facts.needs {
        // The same lookup as in kmod: on 64-bit PowerPC, function names begin with a dot.
        let symbol = symbol.strip_prefix('.').unwrap_or(symbol);
        if let Some(exporter) = exporters.get(symbol).filter(|exporter| !needs.contains(*exporter)) {
            needs.push(*exporter);
        }
    }
    needs
}

/// Numbers the modules so that each comes before its dependencies. Of the modules whose dependents all have
/// numbers, the one that joined them last is next.
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
    if ranked == nodes.len() { Ok(()) } else { Err(Decline::DependencyCycle) }
}
