//! The files of the index.

use super::decline::Decline;
use super::graph::{Graph, Node};
use super::trie::{Order, Trie};
use super::types::{IndexFile, Lists, Version};
use crate::name::ModuleName;

/// All files, in the order in which depmod writes them.
pub(super) fn files(
    version: Version,
    graph: &Graph<'_>,
    lists: &Lists<'_>,
) -> Result<Vec<IndexFile>, Decline> {
    let order = match version {
        Version::Kmod30 => Order::ChildrenFirst,
        Version::Kmod34 => Order::ParentFirst,
    };
    let lines: Vec<String> = graph.nodes.iter().map(|node| dependencies(graph, node)).collect();
    let mut files = vec![
        ("modules.dep", lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect()),
        (
            "modules.dep.bin",
            binary(
                numbered(graph).zip(&lines).map(|((number, node), line)| (&*node.name, &**line, number)),
                order,
            )?,
        ),
        ("modules.alias", aliases(graph)),
        ("modules.alias.bin", aliases_binary(graph, order)?),
        (
            "modules.softdep",
            keyword_lines(graph, "Soft dependencies", "softdep", |node| &node.facts.softdeps),
        ),
    ];
    if version == Version::Kmod34 {
        files.push((
            "modules.weakdep",
            keyword_lines(graph, "Weak dependencies", "weakdep", |node| &node.facts.weakdeps),
        ));
    }
    files.extend([
        ("modules.symbols", symbols(graph)),
        ("modules.symbols.bin", symbols_binary(graph, order)?),
        ("modules.builtin.bin", builtin_names(lists.builtin, order)?),
        ("modules.builtin.alias.bin", builtin_aliases(lists.builtin_modinfo, order)?),
        ("modules.devname", device_names(graph)?),
    ]);
    Ok(files.into_iter().map(|(name, bytes)| IndexFile { name, bytes }).collect())
}

/// The modules with their numbers; kmod calls the number the priority.
fn numbered<'g, 'a>(graph: &'g Graph<'a>) -> impl Iterator<Item = (u32, &'g Node<'a>)> {
    (0..).zip(&graph.nodes)
}

/// A binary file with these keys, values and priorities.
fn binary<'k, K: AsRef<str>>(
    entries: impl IntoIterator<Item = (K, &'k str, u32)>,
    order: Order,
) -> Result<Vec<u8>, Decline> {
    let mut trie = Trie::default();
    for (key, value, priority) in entries {
        trie.insert(key.as_ref(), value, priority);
    }
    trie.bytes(order).ok_or(Decline::TooLarge)
}

/// A line of the form `PATH: PATH...`.
fn dependencies(graph: &Graph<'_>, node: &Node<'_>) -> String {
    let mut line = format!("{}:", node.path);
    for needed in graph.all_needs(node) {
        line.push(' ');
        line.push_str(needed.path);
    }
    line
}

fn aliases(graph: &Graph<'_>) -> Vec<u8> {
    let mut text = "# Aliases extracted from modules themselves.\n".to_owned();
    for node in &graph.nodes {
        for alias in &node.facts.aliases {
            text.extend(["alias ", alias, " ", &node.name, "\n"]);
        }
    }
    text.into_bytes()
}

fn aliases_binary(graph: &Graph<'_>, order: Order) -> Result<Vec<u8>, Decline> {
    let mut entries = Vec::new();
    for (number, node) in numbered(graph) {
        for alias in &node.facts.aliases {
            entries.push((normalize_alias(alias)?, &*node.name, number));
        }
    }
    binary(entries, order)
}

/// Replaces `-` with `_`, except between brackets.
fn normalize_alias(alias: &str) -> Result<String, Decline> {
    let brackets = || Decline::AliasBrackets(alias.to_owned());
    let mut inside = false;
    let mut normal = String::with_capacity(alias.len());
    for character in alias.chars() {
        match (character, inside) {
            ('[', false) => inside = true,
            (']', true) => inside = false,
            (']', false) => return Err(brackets()),
            _ => {}
        }
        normal.push(if character == '-' && !inside { '_' } else { character });
    }
    if inside { Err(brackets()) } else { Ok(normal) }
}

/// A file of `KEYWORD MODULE VALUE` lines.
fn keyword_lines<'a>(
    graph: &'a Graph<'_>,
    title: &str,
    keyword: &str,
    values: impl Fn(&'a Node<'_>) -> &'a [&'a str],
) -> Vec<u8> {
    let mut text = format!("# {title} extracted from modules themselves.\n");
    for node in &graph.nodes {
        for value in values(node) {
            text.extend([keyword, " ", &node.name, " ", value, "\n"]);
        }
    }
    text.into_bytes()
}

fn symbols(graph: &Graph<'_>) -> Vec<u8> {
    let mut text = "# Aliases for symbols, used by symbol_request().\n".to_owned();
    for (symbol, exporter) in &graph.symbols {
        if let Some(node) = graph.nodes.get(*exporter) {
            text.extend(["alias symbol:", symbol, " ", &node.name, "\n"]);
        }
    }
    text.into_bytes()
}

fn symbols_binary(graph: &Graph<'_>, order: Order) -> Result<Vec<u8>, Decline> {
    let entry = |(symbol, exporter): &(&str, usize)| {
        let node = graph.nodes.get(*exporter)?;
        Some((format!("symbol:{symbol}"), &*node.name, u32::try_from(*exporter).ok()?))
    };
    binary(graph.symbols.iter().filter_map(entry), order)
}

/// The names of the built-in modules; their values are empty.
fn builtin_names(list: &str, order: Order) -> Result<Vec<u8>, Decline> {
    let mut names = Vec::new();
    for line in list.split_inclusive('\n') {
        let file = line.rsplit('/').next().unwrap_or(line);
        let name = file.split('.').next().unwrap_or(file);
        let is_path =
            line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.is_ascii() && line.len() < 4096;
        if !is_path || name.is_empty() || !file.contains('.') {
            return Err(Decline::BuiltinLine(line.escape_debug().to_string()));
        }
        names.push(String::from(ModuleName::new(name)));
    }
    binary(names.into_iter().map(|name| (name, "", 0)), order)
}

/// Aliases of built-in modules, from NUL-terminated strings `MODULE.KEY=VALUE`.
fn builtin_aliases(modinfo: &[u8], order: Order) -> Result<Vec<u8>, Decline> {
    const DAMAGED: Decline = Decline::BuiltinModinfo;
    let mut entries = Vec::new();
    let Some(strings) = modinfo.strip_suffix(b"\0") else {
        return if modinfo.is_empty() { binary(entries, order) } else { Err(DAMAGED) };
    };
    for string in strings.split(|byte| *byte == 0) {
        let dot = string.iter().position(|byte| *byte == b'.').filter(|dot| *dot > 0).ok_or(DAMAGED)?;
        let (module, rest) = string.split_at(dot);
        let equals = rest.iter().position(|byte| *byte == b'=').ok_or(DAMAGED)?;
        let (key, value) =
            (rest.get(1..equals).unwrap_or_default(), rest.get(equals + 1..).unwrap_or_default());
        let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()).ok_or(DAMAGED);
        if string.len() >= 4096 {
            return Err(DAMAGED);
        }
        if key == b"alias" && !value.is_empty() {
            entries.push((normalize_alias(text(value)?)?, text(module)?, 0));
        }
    }
    binary(entries, order)
}

/// Device nodes that udev and systemd-tmpfiles create, from aliases such as `devname:loop-control` and
/// `char-major-10-237`.
fn device_names(graph: &Graph<'_>) -> Result<Vec<u8>, Decline> {
    let mut text = String::new();
    for node in &graph.nodes {
        let (mut name, mut device) = (None, None);
        for alias in &node.facts.aliases {
            if let Some(node_name) = alias.strip_prefix("devname:") {
                name = Some(node_name);
            } else if let Some(numbers) = alias.strip_prefix("char-major-") {
                device = parse_device_number(numbers)?.map(|(major, minor)| ('c', major, minor)).or(device);
            } else if let Some(numbers) = alias.strip_prefix("block-major-") {
                device = parse_device_number(numbers)?.map(|(major, minor)| ('b', major, minor)).or(device);
            }
            if name.is_some() && device.is_some() {
                break;
            }
        }
        match (name, device) {
            (Some(name), Some((kind, major, minor))) => {
                if text.is_empty() {
                    text.push_str("# Device nodes to trigger on-demand module loading.\n");
                }
                text.push_str(&format!("{} {name} {kind}{major}:{minor}\n", node.name));
            }
            (Some(name), None) => {
                return Err(Decline::NoDeviceNumber { path: node.path.to_owned(), name: name.to_owned() });
            }
            _ => {}
        }
    }
    Ok(text.into_bytes())
}

/// Parses `MAJOR-MINOR` as `scanf` reads two unsigned numbers: anything after them is ignored. `None`: these
/// are not two numbers.
fn parse_device_number(text: &str) -> Result<Option<(u32, u32)>, Decline> {
    let unusual = || Decline::DeviceNumber(text.to_owned());
    // scanf accepts signs and blanks before numbers, and wraps numbers that are too large.
    if text.contains(['+', ' ', '\t']) || text.contains("--") || text.starts_with('-') {
        return Err(unusual());
    }
    let Some((major, rest)) = text.split_once('-') else { return Ok(None) };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let minor = rest.get(..digits).unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(major) || !is_number(minor) {
        return Ok(None);
    }
    Ok(Some((major.parse().map_err(|_| unusual())?, minor.parse().map_err(|_| unusual())?)))
}
