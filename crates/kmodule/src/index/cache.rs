//! What was read from the modules of one kernel, kept for the next time.
//!
//! A text: a line with the format's number and a checksum of the rest, a line with the depmod that was there,
//! and for each module a line `m STAMP PATH` before the lines of its facts. A stamp is the caller's: it
//! changes when the file does.

use std::collections::HashMap;

const START: &str = "dkms-index 1 ";

/// A cache that was read.
#[derive(Debug, Default)]
pub struct Cache<'a> {
    tool: &'a str,
    records: HashMap<&'a str, Record<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    stamp: &'a str,
    facts: &'a str,
}

impl<'a> Cache<'a> {
    /// Reads a cache. A damaged one, or one in another format, is an empty one.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        Self::read(text).unwrap_or_default()
    }

    fn read(text: &'a str) -> Option<Self> {
        let (sum, body) = text.strip_prefix(START)?.split_once('\n')?;
        if u32::from_str_radix(sum, 16).ok()? != checksum(body) {
            return None;
        }
        let (tool, mut rest) = body.strip_prefix("t ")?.split_once('\n')?;
        let mut records = HashMap::new();
        while let Some(record) = rest.strip_prefix("m ") {
            let (head, tail) = record.split_once('\n')?;
            let (stamp, path) = head.split_once(' ')?;
            let end =
                if tail.starts_with("m ") { 0 } else { tail.find("\nm ").map_or(tail.len(), |at| at + 1) };
            let (facts, next) = tail.split_at(end);
            records.insert(path, Record { stamp, facts });
            rest = next;
        }
        rest.is_empty().then_some(Self { tool, records })
    }

    /// What the caller wrote down of depmod.
    #[must_use]
    pub fn tool(&self) -> &'a str {
        self.tool
    }

    /// The facts of the module at a path, as text, if it still has this stamp.
    #[must_use]
    pub fn facts(&self, path: &str, stamp: &str) -> Option<&'a str> {
        self.records.get(path).filter(|record| record.stamp == stamp).map(|record| record.facts)
    }

    /// The paths of all modules with their facts as text, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.records.iter().map(|(path, record)| (*path, record.facts))
    }

    /// How many modules it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// It knows no module.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// A cache that is being written.
#[derive(Debug)]
pub struct NewCache {
    body: String,
}

impl NewCache {
    /// Without modules. `tool` is one line that tells which depmod is there, and comes back from
    /// [`Cache::tool`].
    #[must_use]
    pub fn new(tool: &str) -> Self {
        Self { body: format!("t {tool}\n") }
    }

    /// Adds a module: its path and stamp, neither with blanks in the stamp nor newlines, and its facts as
    /// text.
    pub fn add(&mut self, path: &str, stamp: &str, facts: &str) {
        self.body.extend(["m ", stamp, " ", path, "\n", facts]);
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        format!("{START}{:08x}\n{}", checksum(&self.body), self.body)
    }
}

fn checksum(body: &str) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(body.as_bytes());
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_not() {
        let mut new = NewCache::new("1:2 kmod version 30");
        new.add("kernel/a.ko", "1:1", "e x\nn y\n");
        new.add("kernel/none.ko", "1:2", "");
        new.add("updates/b.ko", "1:3", "a pci:v*\n");
        let text = new.finish();
        let cache = Cache::parse(&text);
        assert_eq!((cache.tool(), cache.len()), ("1:2 kmod version 30", 3));
        assert_eq!(cache.facts("kernel/a.ko", "1:1"), Some("e x\nn y\n"));
        assert_eq!(cache.facts("kernel/none.ko", "1:2"), Some(""));
        assert_eq!(cache.facts("updates/b.ko", "1:3"), Some("a pci:v*\n"));
        assert_eq!(cache.facts("updates/b.ko", "1:4"), None);
        assert_eq!(cache.facts("updates/c.ko", "1:3"), None);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
            assert!(Cache::parse(&String::from_utf8_lossy(&bytes)).is_empty(), "byte {at}");
            assert!(Cache::parse(text.get(..at).unwrap_or_default()).is_empty(), "cut off at {at}");
        }
    }
}
