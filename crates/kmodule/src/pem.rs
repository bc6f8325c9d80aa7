//! PEM (RFC 7468): base64 between `-----BEGIN X-----` and `-----END X-----`. Read leniently, as OpenSSL does:
//! any line length, text around the blocks.

/// One decoded block.
#[derive(Debug)]
pub struct Block {
    /// What stands behind `BEGIN`.
    pub label: String,
    /// The block has RFC 1421 headers that say its content is encrypted.
    pub encrypted: bool,
    /// The decoded content; empty when it is no base64.
    pub bytes: Vec<u8>,
}

/// True when the bytes have a PEM block in them (else they may be DER).
pub fn is_pem(data: &[u8]) -> bool {
    data.windows(11).any(|window| window == b"-----BEGIN ")
}

/// Every complete block, in order.
pub fn blocks(data: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Block, Vec<u8>)> = None;
    for line in data.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(label) = marker(line, b"-----BEGIN ") {
            let label = String::from_utf8_lossy(label).into_owned();
            open = Some((Block { label, encrypted: false, bytes: Vec::new() }, Vec::new()));
        } else if let Some(label) = marker(line, b"-----END ") {
            if let Some((mut block, text)) = open.take() {
                if block.label.as_bytes() == label {
                    block.bytes = base64(&text).unwrap_or_default();
                    blocks.push(block);
                }
            }
        } else if let Some((block, text)) = &mut open {
            if line.contains(&b':') {
                block.encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
            } else {
                text.extend_from_slice(line);
            }
        }
    }
    blocks
}

fn marker<'a>(line: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(begin)?.strip_suffix(b"-----")
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in text.iter().copied().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

/// One PEM block around `der`, lines of 64 characters.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            for place in 0..4 {
                let index = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or_default();
                let letter = ALPHABET.get(index).copied().unwrap_or(b'=');
                out.push(if place > group.len() { '=' } else { char::from(letter) });
            }
        }
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::{blocks, encode, is_pem};

    #[test]
    fn round_trip_of_every_length() {
        for length in 0..200u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37)).collect();
            let text = format!("Bag Attributes\r\n{}after\n", encode("THING", &bytes).replace('\n', "\r\n"));
            let found = blocks(text.as_bytes());
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].label.as_str(), &found[0].bytes), ("THING", &bytes));
        }
    }

    #[test]
    fn encrypted_and_damaged_blocks() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,1\n\nAAAA\n-----END RSA PRIVATE KEY-----\n\
                    -----BEGIN A-----\n!!\n-----END A-----\n-----BEGIN B-----\nAA\n-----END C-----\n-----BEGIN D-----\n";
        let found = blocks(text.as_bytes());
        assert_eq!(found.len(), 2);
        assert!(found[0].encrypted && found[0].bytes == [0, 0, 0]);
        assert!(!found[1].encrypted && found[1].bytes.is_empty());
        assert!(is_pem(text.as_bytes()) && !is_pem(b"0\x82"));
    }
}
