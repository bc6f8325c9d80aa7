//! `Module.symvers`: the symbols that a kernel or a set of modules exports
//! (Documentation/kbuild/modules.rst).
//!
//! One symbol per line, fields separated by tabs: `0x<crc>  symbol  module  EXPORT_SYMBOL[_GPL]
//! [namespace]`. Kernels 5.4 and 5.5 had the namespace before the module; kernels before 5.3 have no
//! namespace column, very old kernels no export column.
//!
//! A kernel has about 25,000 of these lines, but only about a hundred are looked up. So the text is kept as
//! it is and indexed, without an allocation per line.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};

/// One line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The symbol's CRC; 0 if the kernel was built without `CONFIG_MODVERSIONS`.
    pub crc: u32,
    /// The symbol's name.
    pub symbol: &'a str,
    /// `vmlinux`, or the path without suffix of the module that exports it.
    pub module: &'a str,
    /// Only modules with a GPL-compatible licence may use it.
    pub export_gpl: bool,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
}

/// An invalid line of a `Module.symvers`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the symbol list cannot be read: {reason}")]
pub struct SymversError {
    /// Line number, from 1.
    pub line: usize,
    /// Why it is invalid.
    pub reason: &'static str,
}

/// An indexed `Module.symvers`.
#[derive(Debug, Clone)]
pub struct Symvers {
    text: String,
    /// Start and end of each line in `text`.
    lines: Vec<(u32, u32)>,
    /// A hash table with open addressing: 1 + index into `lines`, 0 for a free slot; at most half full.
    table: Vec<u32>,
    hasher: RandomState,
}

impl Default for Symvers {
    fn default() -> Symvers {
        Symvers { text: String::new(), lines: Vec::new(), table: vec![0; 2], hasher: RandomState::new() }
    }
}

impl Symvers {
    /// Parses a whole file. Empty lines and CRLF are accepted. If a symbol is listed twice, the first line
    /// counts.
    ///
    /// # Errors
    /// [`SymversError`] names the first line that is not text, has too few fields or no hexadecimal CRC.
    pub fn from_vec(data: Vec<u8>) -> Result<Symvers, SymversError> {
        let text = String::from_utf8(data).map_err(|error| SymversError {
            line: line_number(error.as_bytes(), error.utf8_error().valid_up_to()),
            reason: "it is not text",
        })?;
        if u32::try_from(text.len()).is_err() {
            return Err(SymversError { line: 1, reason: "the file is larger than 4 GiB" });
        }
        let mut lines = Vec::with_capacity(text.len() / 64);
        let mut start = 0;
        for (index, raw) in text.split('\n').enumerate() {
            let line = raw.strip_suffix('\r').unwrap_or(raw);
            if !line.is_empty() {
                fields(line).map_err(|reason| SymversError { line: index + 1, reason })?;
                lines.push((offset(start), offset(start + line.len())));
            }
            start += raw.len() + 1;
        }
        Ok(Symvers::index(text, lines))
    }

    /// Creates the list with these entries, as if they came from a file.
    ///
    /// # Errors
    /// A name that cannot be in a file; `line` is the number of the entry.
    pub(crate) fn from_entries<'a>(
        entries: impl Iterator<Item = Entry<'a>>,
    ) -> Result<Symvers, SymversError> {
        /// Forty times what Debian's kernel with all its modules needs.
        const LARGEST: usize = 64 << 20;
        let mut text = String::new();
        let mut lines = Vec::new();
        for (index, entry) in entries.enumerate() {
            let fault = |reason| SymversError { line: index + 1, reason };
            let names = [entry.symbol, entry.module, entry.namespace.unwrap_or_default()];
            if names.iter().any(|name| name.contains(char::is_control)) {
                return Err(fault("a name with a control character"));
            }
            let start = text.len();
            let gpl = if entry.export_gpl { "_GPL" } else { "" };
            let [symbol, module, namespace] = names;
            // Writing to a String does not fail.
            let _ = write!(text, "{:#010x}\t{symbol}\t{module}\tEXPORT_SYMBOL{gpl}\t{namespace}", entry.crc);
            if text.len() > LARGEST {
                return Err(fault("the list is larger than that of any kernel"));
            }
            lines.push((offset(start), offset(text.len())));
        }
        Ok(Symvers::index(text, lines))
    }

    fn index(text: String, lines: Vec<(u32, u32)>) -> Symvers {
        // RandomState is used because the file may come from an untrusted build, which could otherwise choose
        // names that collide.
        let places = lines.len().saturating_mul(2).max(2).next_power_of_two();
        let mut symvers = Symvers { text, lines, table: vec![0; places], hasher: RandomState::new() };
        for index in 0..symvers.lines.len() {
            let Some(symbol) = symvers.line(index).and_then(symbol_in_line) else { continue };
            let place = symvers.place(symbol);
            if let Some(slot @ 0) = symvers.table.get_mut(place) {
                *slot = offset(index + 1);
            }
        }
        symvers
    }

    /// The line of `symbol`.
    #[must_use]
    pub fn lookup(&self, symbol: &str) -> Option<Entry<'_>> {
        let index = self.table.get(self.place(symbol)).copied()?.checked_sub(1)?;
        fields(self.line(usize::try_from(index).ok()?)?).ok()
    }

    /// All lines, in file order; a symbol may occur twice.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.lines.len()).filter_map(|index| fields(self.line(index)?).ok())
    }

    /// Whether no symbol is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn line(&self, index: usize) -> Option<&str> {
        let (start, end) = *self.lines.get(index)?;
        self.text.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// The slot of `symbol`, or the free slot for it.
    fn place(&self, symbol: &str) -> usize {
        let mask = self.table.len() - 1;
        // The hash is reduced to the size of the table on purpose.
        let mut place = self.hasher.hash_one(symbol) as usize & mask;
        loop {
            let taken = self.table.get(place).and_then(|slot| slot.checked_sub(1));
            let Some(index) = taken.and_then(|index| usize::try_from(index).ok()) else { return place };
            if self.line(index).and_then(symbol_in_line) == Some(symbol) {
                return place;
            }
            place = (place + 1) & mask;
        }
    }
}

/// Offsets fit: the length was checked against `u32` before.
fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The number, from 1, of the line that contains byte `position`.
fn line_number(data: &[u8], position: usize) -> usize {
    1 + data.iter().take(position).filter(|byte| **byte == b'\n').count()
}

fn symbol_in_line(line: &str) -> Option<&str> {
    line.split('\t').nth(1)
}

fn fields(line: &str) -> Result<Entry<'_>, &'static str> {
    let mut columns = line.split('\t');
    let crc = columns.next().unwrap_or_default();
    let symbol = columns.next().ok_or("fewer than three fields")?;
    let module = columns.next().ok_or("fewer than three fields")?;
    let (fourth, fifth) = (columns.next(), columns.next());
    let crc = crc.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let crc = crc.ok_or("it does not begin with a hexadecimal CRC")?;
    if symbol.is_empty() {
        return Err("the symbol's name is empty");
    }
    // Kernels 5.4 and 5.5: crc symbol namespace module export.
    let (module, export, namespace) = match (fourth, fifth) {
        (Some(owner), Some(export)) if is_export(export) && !is_export(owner) => {
            (owner, export, Some(module))
        }
        (export, namespace) => (module, export.unwrap_or_default(), namespace),
    };
    Ok(Entry {
        crc,
        symbol,
        module,
        export_gpl: export.ends_with("_GPL"),
        namespace: namespace.filter(|name| !name.is_empty()),
    })
}

fn is_export(word: &str) -> bool {
    word.starts_with("EXPORT_")
}

#[cfg(test)]
mod tests {
    use super::Symvers;

    #[test]
    fn every_generation_of_the_format() {
        let text = b"0x0000000a\tnew\tvmlinux\tEXPORT_SYMBOL_GPL\t\n\
                     0xffffffff\tspaced\tdrivers/usb/x\tEXPORT_SYMBOL\tUSB_STORAGE\r\n\
                     0x0000000b\tmid\tDMA_BUF\tvmlinux\tEXPORT_SYMBOL\n\
                     0x0000000c\tmidempty\t\tvmlinux\tEXPORT_SYMBOL_GPL\n\n\
                     0x0000000d\told\tvmlinux\tEXPORT_SYMBOL_GPL_FUTURE\n\
                     0x0000000e\tancient\tfs/ext3/ext3\n\
                     0x0000000f\tnew\tlater\tEXPORT_SYMBOL\t";
        let list = Symvers::from_vec(text.to_vec()).unwrap();
        let show = |symbol| {
            list.lookup(symbol).map(|e| (e.crc, e.module, e.export_gpl, e.namespace, e.symbol == symbol))
        };
        assert_eq!(show("new"), Some((10, "vmlinux", true, None, true)));
        assert_eq!(show("spaced"), Some((u32::MAX, "drivers/usb/x", false, Some("USB_STORAGE"), true)));
        assert_eq!(show("mid"), Some((11, "vmlinux", false, Some("DMA_BUF"), true)));
        assert_eq!(show("midempty"), Some((12, "vmlinux", true, None, true)));
        assert_eq!(show("old"), Some((13, "vmlinux", false, None, true)));
        assert_eq!(show("ancient"), Some((14, "fs/ext3/ext3", false, None, true)));
        assert_eq!(show("nowhere"), None);
        assert_eq!(list.iter().count(), 7);
    }

    #[test]
    fn damage_is_reported_with_its_line() {
        let cases: [(&[u8], usize, &str); 5] = [
            (b"0x1\ta\tb\nhello\n", 2, "fewer"),
            (b"0x1\ta\n", 1, "fewer"),
            (b"0xzz\ta\tb\n", 1, "hexadecimal"),
            (b"0x1\t\tb\n", 1, "empty"),
            (b"0x1\ta\tb\n\n\xff\xfe", 3, "text"),
        ];
        for (text, line, word) in cases {
            let error = Symvers::from_vec(text.to_vec()).unwrap_err();
            assert_eq!(error.line, line);
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(Symvers::from_vec(Vec::new()).unwrap().is_empty());
        assert!(Symvers::default().lookup("x").is_none());
    }
}
