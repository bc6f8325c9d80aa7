//! The words of `compress_gzip_opts`, `compress_xz_opts` and `compress_zstd_opts`, which dkms 3 passed to the
//! command line tools. Options that affect the output are applied. Options that only affect the tool are
//! accepted and ignored. All other options are errors.

use super::error::CompressError;
use super::options::{Options, Xz};
use crate::compression::Compression;

const MIB: u32 = 1 << 20;
const EXTREME: u32 = 1 << 31;

const UNKNOWN: &str = "is not an option that dkms supports; remove it or use another";
const BAD_VALUE: &str = "has an invalid value";
const BAD_LEVEL: &str = "is not a level of this format";
const KERNEL_CHECK: &str = "makes modules that the kernel cannot read; use --check=crc32";

impl Options {
    /// Reads the words of `compress_gzip_opts`, `compress_xz_opts` or `compress_zstd_opts`. Empty text means
    /// [`Options::for_modules`].
    ///
    /// Options of xz have the same meaning as on its command line: a level after `--lzma2=` cancels that
    /// filter and its dictionary size. Only the default differs: without `--check`, the check is CRC32.
    ///
    /// # Errors
    /// [`CompressError::Option`] names the word that is not supported; [`CompressError::NotForModules`].
    pub fn parse(format: Compression, text: &str) -> Result<Options, CompressError> {
        let defaults = Options::for_modules(format)?;
        if text.split_whitespace().next().is_none() {
            return Ok(defaults);
        }
        Ok(match defaults {
            Options::Gzip { level } => {
                let mut words = GzipWords { level };
                read(&mut words, format, text)?;
                Options::Gzip { level: words.level }
            }
            Options::Xz(defaults) => {
                let mut words = XzWords { level: defaults.preset, extreme: 0, crc32: true, lzma2: None };
                read(&mut words, format, text)?;
                Options::Xz(words.finish())
            }
            Options::Zstd { level, checksum } => {
                let mut words = ZstdWords { level, checksum, ultra: false };
                read(&mut words, format, text)?;
                words.finish()
            }
        })
    }
}

/// Why a word is not supported.
type Fault = &'static str;

/// The command line of one tool.
trait Words {
    /// One-letter options with a value: the rest of the word, or the next word.
    const WITH_VALUE: &'static [char];
    /// Long options whose value may be the next word.
    const LONG_WITH_VALUE: &'static [&'static str];
    /// A level is one digit; if there are several digits, the last one counts.
    const ONE_DIGIT: bool;

    fn level(&mut self, level: u8) -> Result<(), Fault>;
    fn letter(&mut self, letter: char, value: Option<&str>) -> Result<(), Fault>;
    fn long(&mut self, name: &str, value: Option<&str>) -> Result<(), Fault>;
}

fn read<W: Words>(words: &mut W, format: Compression, text: &str) -> Result<(), CompressError> {
    let mut rest = text.split_whitespace();
    while let Some(word) = rest.next() {
        let result = if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None if W::LONG_WITH_VALUE.contains(&long) => (long, rest.next()),
                None => (long, None),
            };
            words.long(name, value)
        } else {
            match word.strip_prefix('-') {
                Some(letters) if !letters.is_empty() => read_letters(words, letters, &mut rest),
                _ => Err("is not an option"),
            }
        };
        result.map_err(|reason| CompressError::Option { format, option: word.to_owned(), reason })?;
    }
    Ok(())
}

/// Reads the one-letter options and levels of one word. `rest` are the words after it.
fn read_letters<'w, W: Words>(
    words: &mut W,
    mut left: &str,
    rest: &mut impl Iterator<Item = &'w str>,
) -> Result<(), Fault> {
    while let Some(letter) = left.chars().next() {
        let after = &left[letter.len_utf8()..];
        if letter.is_ascii_digit() {
            let others =
                if W::ONE_DIGIT { after } else { after.trim_start_matches(|c: char| c.is_ascii_digit()) };
            let digits = left.strip_suffix(others).unwrap_or(left);
            words.level(digits.parse().map_err(|_| BAD_LEVEL)?)?;
            left = others;
        } else if W::WITH_VALUE.contains(&letter) {
            let value = if after.is_empty() { rest.next() } else { Some(after) };
            return words.letter(letter, value);
        } else {
            // Quiet, verbose, force, keep: they are the same in every tool and do not affect the output.
            if !matches!(letter, 'q' | 'v' | 'f' | 'k') {
                words.letter(letter, None)?;
            }
            left = after;
        }
    }
    Ok(())
}

struct GzipWords {
    level: u32,
}

impl Words for GzipWords {
    const WITH_VALUE: &'static [char] = &[];
    const LONG_WITH_VALUE: &'static [&'static str] = &[];
    const ONE_DIGIT: bool = true;

    fn level(&mut self, level: u8) -> Result<(), Fault> {
        self.level = Some(level).filter(|level| (1..=9).contains(level)).ok_or(BAD_LEVEL)?.into();
        Ok(())
    }

    fn letter(&mut self, letter: char, _: Option<&str>) -> Result<(), Fault> {
        if letter == 'n' { Ok(()) } else { Err(UNKNOWN) }
    }

    fn long(&mut self, name: &str, value: Option<&str>) -> Result<(), Fault> {
        match (name, value) {
            ("best", None) => self.level = 9,
            ("fast", None) => self.level = 1,
            ("no-name" | "quiet" | "verbose" | "force" | "keep", None) => {}
            _ => return Err(UNKNOWN),
        }
        Ok(())
    }
}

struct XzWords {
    level: u32,
    extreme: u32,
    crc32: bool,
    /// The preset and the dictionary of `--lzma2=`, if no level follows it.
    lzma2: Option<(u32, Option<u32>)>,
}

impl XzWords {
    fn finish(self) -> Xz {
        let (preset, dictionary) = self.lzma2.unwrap_or((self.level | self.extreme, None));
        Xz { preset, dictionary, crc32: self.crc32 }
    }

    fn set_level(&mut self, level: u32) {
        self.level = level;
        self.lzma2 = None;
    }

    fn set_extreme(&mut self) {
        self.extreme = EXTREME;
        self.lzma2 = None;
    }

    fn check(&mut self, value: Option<&str>) -> Result<(), Fault> {
        self.crc32 = match value {
            Some("crc32") => true,
            Some("none") => false,
            Some("crc64" | "sha256") => return Err(KERNEL_CHECK),
            _ => return Err(BAD_VALUE),
        };
        Ok(())
    }

    /// Reads `--lzma2=[preset=N[e],][dict=SIZE]`. It starts from preset 6, even if another level came before.
    fn lzma2(&mut self, value: &str) -> Result<(), Fault> {
        let (mut preset, mut dictionary) = (6, None);
        for part in value.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("dict", size)) => {
                    let size = parse_size(size).filter(|size| (4096..=1536 * MIB).contains(size));
                    dictionary = Some(size.ok_or(BAD_VALUE)?);
                }
                Some(("preset", value)) => {
                    let (level, extreme) =
                        value.strip_suffix('e').map_or((value, 0), |level| (level, EXTREME));
                    let level: Option<u32> = level.parse().ok().filter(|level| *level <= 9);
                    (preset, dictionary) = (level.ok_or(BAD_VALUE)? | extreme, None);
                }
                _ => return Err(UNKNOWN),
            }
        }
        self.lzma2 = Some((preset, dictionary));
        Ok(())
    }
}

impl Words for XzWords {
    const WITH_VALUE: &'static [char] = &['T', 'C'];
    const LONG_WITH_VALUE: &'static [&'static str] = &["check", "threads"];
    const ONE_DIGIT: bool = true;

    fn level(&mut self, level: u8) -> Result<(), Fault> {
        self.set_level(level.into());
        Ok(())
    }

    fn letter(&mut self, letter: char, value: Option<&str>) -> Result<(), Fault> {
        match letter {
            'z' | 'Q' => {}
            'e' => self.set_extreme(),
            'T' => return check_number(value),
            'C' => return self.check(value),
            _ => return Err(UNKNOWN),
        }
        Ok(())
    }

    fn long(&mut self, name: &str, value: Option<&str>) -> Result<(), Fault> {
        match (name, value) {
            ("check", value) => return self.check(value),
            ("lzma2", value) => return self.lzma2(value.unwrap_or_default()),
            ("threads", value) => return check_number(value),
            ("format", Some("xz" | "auto")) => {}
            ("extreme", None) => self.set_extreme(),
            ("best", None) => self.set_level(9),
            ("fast", None) => self.set_level(0),
            (
                "quiet" | "verbose" | "force" | "keep" | "compress" | "no-warn" | "no-sparse" | "no-adjust",
                None,
            ) => {}
            _ => return Err(UNKNOWN),
        }
        Ok(())
    }
}

struct ZstdWords {
    level: i32,
    checksum: bool,
    ultra: bool,
}

impl ZstdWords {
    /// Without `--ultra`, the level is limited to 19. The tool does the same, with a warning.
    fn finish(self) -> Options {
        let level = if self.ultra { self.level } else { self.level.min(19) };
        Options::Zstd { level, checksum: self.checksum }
    }
}

impl Words for ZstdWords {
    const WITH_VALUE: &'static [char] = &['T'];
    const LONG_WITH_VALUE: &'static [&'static str] = &["threads"];
    const ONE_DIGIT: bool = false;

    fn level(&mut self, level: u8) -> Result<(), Fault> {
        self.level = Some(level).filter(|level| (1..=22).contains(level)).ok_or(BAD_LEVEL)?.into();
        Ok(())
    }

    fn letter(&mut self, letter: char, value: Option<&str>) -> Result<(), Fault> {
        match letter {
            'z' => {}
            'C' => self.checksum = true,
            'T' => return check_number(value),
            _ => return Err(UNKNOWN),
        }
        Ok(())
    }

    fn long(&mut self, name: &str, value: Option<&str>) -> Result<(), Fault> {
        match (name, value) {
            ("ultra", None) => self.ultra = true,
            ("fast", value) => {
                let speed: Option<i32> =
                    value.unwrap_or("1").parse().ok().filter(|speed| (1..=131_072).contains(speed));
                self.level = -speed.ok_or(BAD_VALUE)?;
            }
            ("check", None) => self.checksum = true,
            ("no-check", None) => self.checksum = false,
            ("threads", value) => return check_number(value),
            ("format", Some("zstd")) => {}
            ("quiet" | "verbose" | "force" | "keep" | "rm" | "compress" | "single-thread", None) => {}
            ("no-progress" | "content-size" | "sparse" | "no-sparse" | "auto-threads", None) => {}
            ("auto-threads", Some("physical" | "logical")) => {}
            _ => return Err(UNKNOWN),
        }
        Ok(())
    }
}

/// Checks the number of threads, which does not affect the output.
fn check_number(value: Option<&str>) -> Result<(), Fault> {
    match value {
        Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(BAD_VALUE),
    }
}

/// Parses a size as xz does: a number with an optional k, M or G (also KiB, MiB …; all are powers of 1024).
fn parse_size(text: &str) -> Option<u32> {
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
