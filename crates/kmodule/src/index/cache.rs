//! A cache of the data read from one kernel's modules.
//!
//! The format is text: a line with the format number and a checksum of the rest, a line that describes the
//! installed depmod, and for each module a line `m STAMP PATH` followed by the lines of its facts. The caller
//! supplies the stamps; a stamp must change when the file changes.

use std::collections::HashMap;

const START: &str = "dkms-index 1 ";

/// The contents of a cache file.
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
    /// Parses a cache. If it is damaged or in another format, the result is empty.
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

    /// The caller's description of depmod.
    #[must_use]
    pub fn tool(&self) -> &'a str {
        self.tool
    }

    /// The facts of the module at `path`, as text; `None` if they are not cached, or with another stamp.
    #[must_use]
    pub fn facts(&self, path: &str, stamp: &str) -> Option<&'a str> {
        self.records.get(path).filter(|record| record.stamp == stamp).map(|record| record.facts)
    }

    /// The number of modules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no modules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// The contents of a new cache file.
#[derive(Debug)]
pub struct NewCache {
    body: String,
}

impl NewCache {
    /// Creates a cache without modules. `tool` is a line that identifies the installed depmod;
    /// [`Cache::tool`] returns it.
    #[must_use]
    pub fn new(tool: &str) -> Self {
        Self { body: format!("t {tool}\n") }
    }

    /// Adds a module with its path, stamp and facts as text. The stamp must not contain blanks, and neither
    /// stamp nor path may contain newlines.
    pub fn add(&mut self, path: &str, stamp: &str, facts: &str) {
        self.body.extend(["m ", stamp, " ", path, "\n", facts]);
    }

    /// The complete text.
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
