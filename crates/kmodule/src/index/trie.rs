//! The binary indexes (`modules.*.bin`): a trie of keys, each with values ordered by priority
//! (libkmod/libkmod-index.h).
//!
//! All numbers are big endian. The file begins with the magic, the version and the offset of the root. A node
//! contains its prefix (NUL-terminated); the first and last character that have a child, with one offset for
//! each character in that range; and its values (a count, then a priority and a NUL-terminated string for
//! each). The top bits of a node's offset show which of the three parts it has.

const MAGIC: u32 = 0xB007_F457;
const VERSION: u32 = 0x0002_0001;
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
/// Offsets have 28 bits.
const LARGEST: u32 = 0x0FFF_FFFF;

/// The order of nodes in the file. Readers accept both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Children before their parent (kmod 30).
    ChildrenFirst,
    /// A parent before its children (kmod 34).
    ParentFirst,
}

/// A trie under construction.
#[derive(Debug, Default)]
pub(super) struct Trie<'a> {
    root: Node<'a>,
}

#[derive(Debug, Default)]
struct Node<'a> {
    prefix: Vec<u8>,
    /// Lowest priority first; among equal priorities, the last inserted comes first.
    values: Vec<(u32, &'a str)>,
    /// Sorted by character.
    children: Vec<(u8, Node<'a>)>,
}

impl<'a> Trie<'a> {
    /// Adds a value to a key. Keys and values are ASCII.
    pub(super) fn insert(&mut self, key: &str, value: &'a str, priority: u32) {
        let mut node = &mut self.root;
        let mut rest = key.as_bytes();
        loop {
            let common = node.prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < node.prefix.len() {
                node.split(common);
            }
            rest = rest.get(common..).unwrap_or_default();
            let Some((character, tail)) = rest.split_first() else {
                return node.add_value(value, priority);
            };
            match node.children.binary_search_by_key(character, |child| child.0) {
                Ok(at) => {
                    let Some((_, child)) = node.children.get_mut(at) else { return };
                    node = child;
                    rest = tail;
                }
                Err(at) => {
                    let child =
                        Node { prefix: tail.to_vec(), values: vec![(priority, value)], children: Vec::new() };
                    node.children.insert(at, (*character, child));
                    return;
                }
            }
        }
    }

    /// The bytes of the file; `None` if it would be too large for the offsets (256 MiB).
    pub(super) fn bytes(&self, order: Order) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for word in [MAGIC, VERSION, 0] {
            out.extend(word.to_be_bytes());
        }
        let root = match order {
            Order::ChildrenFirst => self.root.write_after_children(&mut out),
            Order::ParentFirst => self.root.write_before_children(&mut out),
        };
        out.get_mut(8..12)?.copy_from_slice(&root.to_be_bytes());
        (u32::try_from(out.len()).ok()? <= LARGEST).then_some(out)
    }
}

impl<'a> Node<'a> {
    /// Moves the contents of this node to a child below the first `at` characters of its prefix.
    fn split(&mut self, at: usize) {
        let mut below = std::mem::take(self);
        let tail = below.prefix.split_off(at);
        self.prefix = std::mem::take(&mut below.prefix);
        if let Some((character, tail)) = tail.split_first() {
            below.prefix = tail.to_vec();
            self.children.push((*character, below));
        }
    }

    fn add_value(&mut self, value: &'a str, priority: u32) {
        let at = self.values.partition_point(|(other, _)| *other < priority);
        self.values.insert(at, (priority, value));
    }

    fn flags(&self) -> u32 {
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        flag(!self.prefix.is_empty(), HAS_PREFIX)
            | flag(!self.values.is_empty(), HAS_VALUES)
            | flag(!self.children.is_empty(), HAS_CHILDREN)
    }

    /// The characters from the first child to the last, with the child at each, if any.
    fn range(&self) -> impl Iterator<Item = (usize, Option<&Node<'a>>)> {
        let first = self.children.first().map_or(1, |child| child.0);
        let last = self.children.last().map_or(0, |child| child.0);
        let mut children = self.children.iter().peekable();
        (first..=last).enumerate().map(move |(position, character)| {
            (position, children.next_if(|child| child.0 == character).map(|child| &child.1))
        })
    }

    /// Writes the children, then this node. Returns its offset with flags.
    fn write_after_children(&self, out: &mut Vec<u8>) -> u32 {
        let offsets: Vec<u32> =
            self.range().map(|(_, child)| child.map_or(0, |child| child.write_after_children(out))).collect();
        let offset = place(out);
        self.write_start(out);
        offsets.iter().for_each(|offset| out.extend(offset.to_be_bytes()));
        self.write_values(out);
        offset | self.flags()
    }

    /// Writes this node, then its children. Returns its offset with flags.
    fn write_before_children(&self, out: &mut Vec<u8>) -> u32 {
        let offset = place(out);
        self.write_start(out);
        let table = out.len();
        out.resize(table + 4 * self.range().count(), 0);
        self.write_values(out);
        for (position, child) in self.range() {
            let Some(child) = child else { continue };
            let offset = child.write_before_children(out).to_be_bytes();
            let at = table + 4 * position;
            if let Some(entry) = out.get_mut(at..at + 4) {
                entry.copy_from_slice(&offset);
            }
        }
        offset | self.flags()
    }

    fn write_start(&self, out: &mut Vec<u8>) {
        if !self.prefix.is_empty() {
            out.extend(&self.prefix);
            out.push(0);
        }
        if let (Some((first, _)), Some((last, _))) = (self.children.first(), self.children.last()) {
            out.extend([*first, *last]);
        }
    }

    fn write_values(&self, out: &mut Vec<u8>) {
        if self.values.is_empty() {
            return;
        }
        out.extend(u32::try_from(self.values.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (priority, value) in &self.values {
            out.extend(priority.to_be_bytes());
            out.extend(value.as_bytes());
            out.push(0);
        }
    }
}

fn place(out: &[u8]) -> u32 {
    u32::try_from(out.len()).unwrap_or(LARGEST) & LARGEST
}
