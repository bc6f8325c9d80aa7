//! PEM (RFC 7468): base64 between `-----BEGIN X-----` and `-----END X-----`. Like OpenSSL, this accepts
//! several blocks in a file, lines of any length, text around the blocks, and RFC 1421 headers. The crate
//! pem-rfc7468 accepts none of these.

use base64ct::{Base64, Encoding};

/// One block of a PEM file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The word or words after `BEGIN`.
    pub(crate) label: String,
    pub(crate) content: Content,
}

/// The content of a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Decoded.
    Der(Vec<u8>),
    /// It is encrypted, according to its RFC 1421 headers.
    Encrypted,
    /// It is not base64.
    Damaged,
}

/// Whether the bytes contain a PEM block (otherwise they may be DER).
pub(crate) fn is_pem(data: &[u8]) -> bool {
    data.windows(11).any(|window| window == b"-----BEGIN ")
}

/// Every complete block, in file order.
pub(crate) fn blocks(data: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Open> = None;
    for line in data.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(label) = marker(line, b"-----BEGIN ") {
            open = Some(Open { label, encrypted: false, base64: Vec::new() });
        } else if let Some(label) = marker(line, b"-----END ") {
            blocks.extend(open.take().filter(|block| block.label == label).map(Open::close));
        } else if let Some(block) = &mut open {
            block.add(line);
        }
    }
    blocks
}

fn marker<'a>(line: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(begin)?.strip_suffix(b"-----")
}

/// A block whose end is not read yet.
struct Open<'a> {
    label: &'a [u8],
    encrypted: bool,
    /// All lines, joined.
    base64: Vec<u8>,
}

impl Open<'_> {
    fn add(&mut self, line: &[u8]) {
        if line.contains(&b':') {
            self.encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else {
            self.base64.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }

    fn close(self) -> Block {
        let content = if self.encrypted {
            Content::Encrypted
        } else {
            let text = String::from_utf8(self.base64).ok();
            let decoded = text.and_then(|text| Base64::decode_vec(&text).ok());
            decoded.map_or(Content::Damaged, Content::Der)
        };
        Block { label: String::from_utf8_lossy(self.label).into_owned(), content }
    }
}

/// Encodes `der` as a PEM block with lines of 64 characters.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    const LINE: usize = 64;
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, letter) in Base64::encode_string(der).chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            text.push('\n');
        }
        text.push(letter);
    }
    if !der.is_empty() {
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::{Block, Content, blocks, encode, is_pem};

    #[test]
    fn round_trip_of_every_length() {
        for length in 0..200u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            let text = encode("THING", &bytes);
            assert!(text.ends_with("-----END THING-----\n") && text.lines().all(|line| line.len() <= 64));
            // CRLF, short lines, text before and after.
            let body: String = text.replace('\n', "\r\n");
            let short = text.lines().map(|line| match line.contains("--") {
                true => format!("{line}\n"),
                false => line.chars().map(|letter| format!("{letter} \n")).collect(),
            });
            let text = format!("Bag Attributes\r\n{body}after\n{}", short.collect::<String>());
            let block = || Block { label: "THING".to_owned(), content: Content::Der(bytes.clone()) };
            assert_eq!(blocks(text.as_bytes()), [block(), block()]);
        }
    }

    #[test]
    fn encrypted_and_damaged_blocks() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,1\n\nAAAA\n-----END RSA PRIVATE KEY-----\n\
                    -----BEGIN A-----\n!!\n-----END A-----\n-----BEGIN B-----\nAA\n-----END C-----\n-----BEGIN D-----\n";
        let found = blocks(text.as_bytes());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].content, Content::Encrypted);
        assert_eq!(found[1].content, Content::Damaged);
        assert!(is_pem(text.as_bytes()) && !is_pem(b"0\x82"));
    }
}
