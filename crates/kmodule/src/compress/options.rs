//! The words of `compress_gzip_opts`, `compress_xz_opts` and `compress_zstd_opts`. dkms handed them to the command
//! line tools; here they are followed where they shape the output, accepted where they only steer the tool, and
//! refused where we could not keep what they promise.

use super::{CompressError, Format};

/// How to compress. [`Options::default`] is what dkms does: gzip -6, xz CRC32 with a dictionary of 1 MiB at preset
/// 6, zstd -3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub(super) gzip_level: u32,
    pub(super) xz: Xz,
    pub(super) zstd_level: i32,
    pub(super) zstd_checksum: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Xz {
    /// Level and the "extreme" bit, as liblzma takes them.
    pub preset: u32,
    pub dictionary: Option<u32>,
    pub check: XzCheck,
}

/// The checks that the kernel's reader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum XzCheck {
    None,
    Crc32,
}

const MIB: u32 = 1 << 20;
const EXTREME: u32 = 1 << 31;
const PRESET: u32 = 6;

const UNKNOWN: &str = "is not an option that dkms can follow; remove it or use another";
const BAD_VALUE: &str = "has a value that cannot be read";
const KERNEL_CHECK: &str = "makes modules that the kernel cannot read; use --check=crc32";

impl Default for Options {
    fn default() -> Options {
        let xz = Xz { preset: PRESET, dictionary: Some(MIB), check: XzCheck::Crc32 };
        Options { gzip_level: 6, xz, zstd_level: 3, zstd_checksum: true }
    }
}

impl Options {
    /// Reads the user's options for one format; the other formats keep their defaults. Empty text means the
    /// defaults.
    ///
    /// For xz the words count as its command line counts them: a level behind `--lzma2=` makes it forget that
    /// filter, dictionary size and all. One thing differs: without `--check` it stays CRC32.
    ///
    /// # Errors
    /// [`CompressError::Option`] names the word that cannot be followed.
    pub fn parse(format: Format, text: &str) -> Result<Options, CompressError> {
        let mut options = Options::default();
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_none() {
            return Ok(options);
        }
        let mut parser =
            Parser { format, options: &mut options, lzma2: false, level: PRESET, extreme: 0, ultra: false };
        parser.begin();
        while let Some(word) = words.next() {
            parser.word(word, &mut words)?;
        }
        parser.finish();
        Ok(options)
    }
}

struct Parser<'a> {
    format: Format,
    options: &'a mut Options,
    /// `--lzma2=` was given and no level since.
    lzma2: bool,
    level: u32,
    extreme: u32,
    ultra: bool,
}

impl Parser<'_> {
    fn begin(&mut self) {
        self.options.xz.dictionary = None;
    }

    fn error(&self, option: &str, reason: &'static str) -> CompressError {
        CompressError::Option { format: self.format, option: option.to_owned(), reason }
    }

    fn word<'w>(
        &mut self,
        word: &str,
        rest: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), CompressError> {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            // `--check crc32`, in two words.
            let value = match (self.format, name, value) {
                (Format::Xz, "check", None) | (Format::Xz | Format::Zstd, "threads", None) => rest.next(),
                (_, _, value) => value,
            };
            return match self.format {
                Format::Gzip => self.gzip_long(word, name, value),
                Format::Xz => self.xz_long(word, name, value),
                Format::Zstd => self.zstd_long(word, name, value),
                Format::None => Err(self.error(word, UNKNOWN)),
            };
        }
        match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() => self.letters(word, letters, rest),
            _ => Err(self.error(word, "is not an option")),
        }
    }

    /// One-letter options, several in a word, and levels.
    fn letters<'w>(
        &mut self,
        word: &str,
        letters: &str,
        rest: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), CompressError> {
        let mut left = letters;
        while let Some(letter) = left.chars().next() {
            let after = left.get(letter.len_utf8()..).unwrap_or_default();
            if letter.is_ascii_digit() {
                left = self.digits(word, left)?;
                continue;
            }
            left = after;
            match (self.format, letter) {
                (_, 'q' | 'v' | 'f' | 'k') => {}
                (Format::Gzip, 'n') | (Format::Xz, 'z' | 'Q') => {}
                (Format::Xz, 'e') => {
                    self.extreme = EXTREME;
                    self.lzma2 = false;
                }
                (Format::Xz | Format::Zstd, 'T') => {
                    // The number of threads is the rest of the word, or the next.
                    let count = if after.is_empty() { rest.next().unwrap_or_default() } else { after };
                    return if is_number(count) { Ok(()) } else { Err(self.error(word, BAD_VALUE)) };
                }
                (Format::Xz, 'C') => {
                    let check = if after.is_empty() { rest.next() } else { Some(after) };
                    return self.check(word, check);
                }
                (Format::Zstd, 'z') => {}
                (Format::Zstd, 'C') => self.options.zstd_checksum = true,
                _ => return Err(self.error(word, UNKNOWN)),
            }
        }
        Ok(())
    }

    /// A level; returns what stands behind it. gzip and xz levels have one digit, the last counts.
    fn digits<'t>(&mut self, word: &str, text: &'t str) -> Result<&'t str, CompressError> {
        let length = match self.format {
            Format::Zstd => text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()),
            _ => 1,
        };
        let (digits, after) = text.split_at_checked(length).unwrap_or((text, ""));
        let level: u32 = digits.parse().map_err(|_| self.error(word, BAD_VALUE))?;
        match self.format {
            Format::Gzip if (1..=9).contains(&level) => self.options.gzip_level = level,
            Format::Xz => {
                self.level = level;
                self.lzma2 = false;
            }
            Format::Zstd if (1..=22).contains(&level) => {
                self.options.zstd_level = i32::try_from(level).unwrap_or_default();
            }
            _ => return Err(self.error(word, "is not a level of this format")),
        }
        Ok(after)
    }

    fn gzip_long(&mut self, word: &str, name: &str, value: Option<&str>) -> Result<(), CompressError> {
        match (name, value) {
            ("best", None) => self.options.gzip_level = 9,
            ("fast", None) => self.options.gzip_level = 1,
            ("no-name" | "quiet" | "verbose" | "force" | "keep", None) => {}
            _ => return Err(self.error(word, UNKNOWN)),
        }
        Ok(())
    }

    fn xz_long(&mut self, word: &str, name: &str, value: Option<&str>) -> Result<(), CompressError> {
        match (name, value) {
            ("check", value) => return self.check(word, value),
            ("lzma2", value) => return self.lzma2(word, value.unwrap_or_default()),
            ("format", Some("xz" | "auto")) => {}
            ("extreme", None) => {
                self.extreme = EXTREME;
                self.lzma2 = false;
            }
            ("best" | "fast", None) => {
                self.level = if name == "best" { 9 } else { 0 };
                self.lzma2 = false;
            }
            ("threads", Some(count)) if is_number(count) => {}
            (
                "quiet" | "verbose" | "force" | "keep" | "compress" | "no-warn" | "no-sparse" | "no-adjust",
                None,
            ) => {}
            _ => return Err(self.error(word, UNKNOWN)),
        }
        Ok(())
    }

    fn check(&mut self, word: &str, value: Option<&str>) -> Result<(), CompressError> {
        self.options.xz.check = match value {
            Some("crc32") => XzCheck::Crc32,
            Some("none") => XzCheck::None,
            Some("crc64" | "sha256") => return Err(self.error(word, KERNEL_CHECK)),
            _ => return Err(self.error(word, BAD_VALUE)),
        };
        Ok(())
    }

    /// `--lzma2=[preset=N[e],][dict=SIZE]`: begins anew at preset 6, whatever level stood before.
    fn lzma2(&mut self, word: &str, value: &str) -> Result<(), CompressError> {
        self.lzma2 = true;
        self.options.xz.preset = PRESET;
        self.options.xz.dictionary = None;
        for part in value.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("dict", size)) => {
                    let size = size_of(size).filter(|size| (4096..=1536 * MIB).contains(size));
                    self.options.xz.dictionary = Some(size.ok_or_else(|| self.error(word, BAD_VALUE))?);
                }
                Some(("preset", preset)) => {
                    let (level, extreme) =
                        preset.strip_suffix('e').map_or((preset, 0), |level| (level, EXTREME));
                    let level: Option<u32> = level.parse().ok().filter(|level| *level <= 9);
                    self.options.xz.preset = level.ok_or_else(|| self.error(word, BAD_VALUE))? | extreme;
                    self.options.xz.dictionary = None;
                }
                _ => return Err(self.error(word, UNKNOWN)),
            }
        }
        Ok(())
    }

    fn zstd_long(&mut self, word: &str, name: &str, value: Option<&str>) -> Result<(), CompressError> {
        match (name, value) {
            ("ultra", None) => self.ultra = true,
            ("fast", value) => {
                let speed: Option<i32> =
                    value.unwrap_or("1").parse().ok().filter(|speed| (1..=131_072).contains(speed));
                self.options.zstd_level = -speed.ok_or_else(|| self.error(word, BAD_VALUE))?;
            }
            ("check", None) => self.options.zstd_checksum = true,
            ("no-check", None) => self.options.zstd_checksum = false,
            ("threads", Some(count)) if is_number(count) => {}
            ("format", Some("zstd")) => {}
            ("quiet" | "verbose" | "force" | "keep" | "rm" | "compress" | "single-thread", None) => {}
            ("no-progress" | "content-size" | "sparse" | "no-sparse" | "auto-threads", None) => {}
            ("auto-threads", Some("physical" | "logical")) => {}
            _ => return Err(self.error(word, UNKNOWN)),
        }
        Ok(())
    }

    fn finish(&mut self) {
        if !self.lzma2 {
            self.options.xz.preset = self.level | self.extreme;
            self.options.xz.dictionary = None;
        }
        if !self.ultra {
            // The tool does the same, with a warning.
            self.options.zstd_level = self.options.zstd_level.min(19);
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A size as xz reads it: a number with an optional k, M, G (also KiB, MiB …; all mean powers of 1024).
fn size_of(text: &str) -> Option<u32> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let shift = match unit {
        "" => 0,
        "k" | "K" | "Ki" | "KiB" | "kB" | "KB" | "kiB" | "ki" => 10,
        "m" | "M" | "Mi" | "MiB" | "MB" | "mB" => 20,
        "g" | "G" | "Gi" | "GiB" | "GB" | "gB" => 30,
        _ => return None,
    };
    digits.parse::<u32>().ok()?.checked_mul(1 << shift)
}
