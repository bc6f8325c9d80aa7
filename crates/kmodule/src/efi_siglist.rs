//! Lists of trusted and forbidden certificates and digests, as firmware and shim store them:
//! `EFI_SIGNATURE_LIST` (UEFI specification 2.10, section 32.4.1), one after the other, in the variables db,
//! dbx, MokList …
//!
//! A list has a header (type, its whole size, size of a type-specific header, size of one signature), all
//! numbers little-endian, then signatures of equal size, each with the GUID of its owner.

use crate::sign::Certificate;
use sha2::Digest as _;

/// Type, three sizes.
const HEADER: usize = 28;
/// The owner's GUID before each signature.
const OWNER: usize = 16;

/// The kind of object that a digest belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An image (Authenticode digest).
    Image,
    /// The part of a certificate that its issuer signed (TBSCertificate). An entry of this kind revokes the
    /// certificate.
    Certificate,
}

/// A digest in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The kind of object.
    pub subject: Subject,
    /// SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512, depending on its length.
    pub digest: Vec<u8>,
}

/// The contents of a variable of signature lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignatureLists {
    /// Certificates, DER, in order. Firmware does not check them, so some may be unreadable.
    pub certificates: Vec<Vec<u8>>,
    /// Digests, in order.
    pub digests: Vec<Digest>,
    /// The number of signatures of other types (bare RSA keys, for instance).
    pub others: usize,
}

/// The bytes are not signature lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature list at byte {0} does not fit in the variable")]
pub struct Damaged(pub usize);

impl SignatureLists {
    /// Reads all lists of a variable, which may be empty.
    ///
    /// # Errors
    /// [`Damaged`] if the sizes in a list are wrong. Nothing after that offset can be read.
    pub fn parse(data: &[u8]) -> Result<SignatureLists, Damaged> {
        let mut lists = SignatureLists::default();
        let mut rest = data;
        while !rest.is_empty() {
            let offset = data.len() - rest.len();
            rest = lists.read_list(rest).ok_or(Damaged(offset))?;
        }
        Ok(lists)
    }

    /// Reads one list and returns the bytes after it.
    fn read_list<'a>(&mut self, data: &'a [u8]) -> Option<&'a [u8]> {
        let kind: [u8; 16] = data.get(..16)?.try_into().ok()?;
        let size = number(data.get(16..20)?)?;
        let header = number(data.get(20..24)?)?;
        let each = number(data.get(24..HEADER)?)?;
        let (list, behind) = data.split_at_checked(size)?;
        let signatures = list.get(HEADER.checked_add(header)?..)?;
        if each < OWNER || signatures.len() % each != 0 {
            return None;
        }
        let kind = Kind::from_guid(&kind);
        for signature in signatures.chunks_exact(each) {
            let data = signature.get(OWNER..)?;
            match kind {
                Kind::Certificate => self.certificates.push(data.to_vec()),
                // After the digest of a revoked certificate comes the time of revocation.
                Kind::Digest(subject, length) => {
                    self.digests.push(Digest { subject, digest: data.get(..length)?.to_vec() });
                }
                Kind::Other => self.others += 1,
            }
        }
        Some(behind)
    }

    /// Appends the contents of another variable.
    pub fn append(&mut self, mut other: SignatureLists) {
        self.certificates.append(&mut other.certificates);
        self.digests.append(&mut other.digests);
        self.others += other.others;
    }

    /// The certificates that can be parsed.
    pub fn parsed(&self) -> impl Iterator<Item = Certificate> + '_ {
        self.certificates.iter().filter_map(|der| Certificate::parse(der).ok())
    }

    /// Whether the lists contain exactly this certificate.
    #[must_use]
    pub fn contains(&self, certificate: &Certificate) -> bool {
        // An entry may have padding after the certificate.
        self.certificates.iter().any(|der| der.starts_with(certificate.der()))
    }

    /// Whether the lists, as lists of forbidden objects, forbid this certificate: they contain it, or the
    /// digest of its signed part.
    #[must_use]
    pub fn forbids(&self, certificate: &Certificate) -> bool {
        let tbs = certificate.tbs();
        self.contains(certificate)
            || self.digests.iter().filter(|d| d.subject == Subject::Certificate).any(|d| {
                match d.digest.len() {
                    32 => sha2::Sha256::digest(tbs).as_slice() == d.digest,
                    48 => sha2::Sha384::digest(tbs).as_slice() == d.digest,
                    64 => sha2::Sha512::digest(tbs).as_slice() == d.digest,
                    _ => false,
                }
            })
    }
}

fn number(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

#[derive(Clone, Copy)]
enum Kind {
    Certificate,
    Digest(Subject, usize),
    Other,
}

impl Kind {
    /// In memory, the first three fields of a GUID are little-endian.
    fn from_guid(guid: &[u8; 16]) -> Kind {
        let [d, c, b, a, f, e, h, g, rest @ ..] = *guid;
        let (first, rest) = (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(rest));
        match u128::from(first) << 64 | u128::from(rest) {
            // EFI_CERT_X509_GUID
            0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072 => Kind::Certificate,
            // EFI_CERT_SHA1_GUID
            0x826ca512_cf10_4ac9_b187_be01496631bd => Kind::Digest(Subject::Image, 20),
            // EFI_CERT_SHA224_GUID
            0x0b6e5233_a65c_44c9_9407_d9ab83bfc8bd => Kind::Digest(Subject::Image, 28),
            // EFI_CERT_SHA256_GUID
            0xc1c41626_504c_4092_aca9_41f936934328 => Kind::Digest(Subject::Image, 32),
            // EFI_CERT_SHA384_GUID
            0xff3e5307_9fd0_48c9_85f1_8ad56c701e01 => Kind::Digest(Subject::Image, 48),
            // EFI_CERT_SHA512_GUID
            0x093e0fae_a6c4_4f50_9f1b_d41e2b89c19a => Kind::Digest(Subject::Image, 64),
            // EFI_CERT_X509_SHA256_GUID
            0x3bd2a492_96c0_4079_b420_fcf98ef103ed => Kind::Digest(Subject::Certificate, 32),
            // EFI_CERT_X509_SHA384_GUID
            0x7076876e_80c2_4ee6_aad2_28b349a6865b => Kind::Digest(Subject::Certificate, 48),
            // EFI_CERT_X509_SHA512_GUID
            0x446dbf63_2502_4cda_bcfa_2465d2b0fe9d => Kind::Digest(Subject::Certificate, 64),
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X509: &[u8] = b"\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72";
    const SHA256: &[u8] = b"\x26\x16\xc4\xc1\x4c\x50\x92\x40\xac\xa9\x41\xf9\x36\x93\x43\x28";
    const REVOKED: &[u8] = b"\x92\xa4\xd2\x3b\xc0\x96\x79\x40\xb4\x20\xfc\xf9\x8e\xf1\x03\xed";

    fn list(kind: &[u8], header: &[u8], signatures: &[&[u8]]) -> Vec<u8> {
        let each = OWNER + signatures.first().map_or(0, |s| s.len());
        let size = HEADER + header.len() + each * signatures.len();
        let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let mut out = [kind, &word(size), &word(header.len()), &word(each), header].concat();
        for signature in signatures {
            out.extend_from_slice(&[7; OWNER]);
            out.extend_from_slice(signature);
        }
        out
    }

    fn certificate() -> Certificate {
        let (_, der) = crate::mok::generate("x", 1, &mut crate::mok::OsRng, 0).unwrap();
        Certificate::parse(&der).unwrap()
    }

    #[test]
    fn lists_of_all_kinds_in_one_variable() {
        let ours = certificate();
        let data = [
            list(X509, &[], &[ours.der()]),
            list(SHA256, b"head", &[&[1; 32], &[2; 32]]),
            list(&[9; 16], &[], &[b"?"]),
        ]
        .concat();
        let found = SignatureLists::parse(&data).unwrap();
        assert_eq!(found.parsed().collect::<Vec<_>>(), std::slice::from_ref(&ours));
        assert!(found.contains(&ours) && found.forbids(&ours) && !found.contains(&certificate()));
        let digests: Vec<u8> = found.digests.iter().map(|d| d.digest[0]).collect();
        assert_eq!((digests, found.others), (vec![1, 2], 1));
        for length in 0..data.len() {
            // A cut variable is damaged, except when it is cut between two lists.
            let cut = SignatureLists::parse(&data[..length]);
            assert!(cut.is_err() || cut.unwrap().certificates.len() <= 1, "{length}");
        }
    }

    #[test]
    fn a_certificate_is_revoked_by_its_digest() {
        let ours = certificate();
        let digest = sha2::Sha256::digest(ours.tbs());
        let revoked = list(REVOKED, &[], &[&[digest.as_slice(), &[0; 16]].concat()]);
        let revoked = SignatureLists::parse(&revoked).unwrap();
        assert!(revoked.forbids(&ours) && !revoked.contains(&ours) && !revoked.forbids(&certificate()));
        // The same digest of an image does not revoke the certificate.
        let image = SignatureLists::parse(&list(SHA256, &[], &[digest.as_slice()])).unwrap();
        assert!(!image.forbids(&ours));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let good = list(SHA256, &[], &[&[1; 32]]);
        for (at, value) in
            [(16, 0), (16, u32::MAX), (20, u32::MAX), (20, 1), (24, 0), (24, 15), (24, 47), (24, 17)]
        {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert_eq!(SignatureLists::parse(&bad), Err(Damaged(0)), "{at} {value}");
        }
        assert_eq!(SignatureLists::parse(&[]), Ok(SignatureLists::default()));
    }
}
