//! The digests that a kernel can be configured to sign modules with (`CONFIG_MODULE_SIG_HASH`).

use der::oid::{AssociatedOid, ObjectIdentifier};
use rsa::Pkcs1v15Sign;
use sha2::Digest;
use std::fmt;

/// A digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the algorithms")]
pub enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    /// Kernels before 6.7 accept it in a signature; it is not used for new signatures.
    Md5,
}

impl Hash {
    /// Every digest that a kernel can be configured to sign with.
    pub const ALL: [Hash; 8] = [
        Hash::Sha1,
        Hash::Sha224,
        Hash::Sha256,
        Hash::Sha384,
        Hash::Sha512,
        Hash::Sha3_256,
        Hash::Sha3_384,
        Hash::Sha3_512,
    ];

    /// The digest with this name in `CONFIG_MODULE_SIG_HASH`, e.g. `sha256` or `sha3-384`.
    #[must_use]
    pub fn from_config_name(name: &str) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.config_name() == name)
    }

    /// The name in the kernel's configuration and on sign-file's command line.
    #[must_use]
    pub fn config_name(self) -> &'static str {
        self.algorithm().name
    }

    /// The object identifier of the digest algorithm.
    pub(super) fn oid(self) -> ObjectIdentifier {
        self.algorithm().oid
    }

    pub(super) fn from_oid(oid: ObjectIdentifier) -> Option<Hash> {
        Hash::ALL.into_iter().chain([Hash::Md5]).find(|hash| hash.oid() == oid)
    }

    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        (self.algorithm().digest)(data)
    }

    /// PKCS#1 v1.5 padding with this digest's prefix.
    pub(super) fn padding(self) -> Pkcs1v15Sign {
        (self.algorithm().padding)()
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Hash::Sha1 => Algorithm::new::<sha1::Sha1>("sha1"),
            Hash::Sha224 => Algorithm::new::<sha2::Sha224>("sha224"),
            Hash::Sha256 => Algorithm::new::<sha2::Sha256>("sha256"),
            Hash::Sha384 => Algorithm::new::<sha2::Sha384>("sha384"),
            Hash::Sha512 => Algorithm::new::<sha2::Sha512>("sha512"),
            Hash::Sha3_256 => Algorithm::new::<sha3::Sha3_256>("sha3-256"),
            Hash::Sha3_384 => Algorithm::new::<sha3::Sha3_384>("sha3-384"),
            Hash::Sha3_512 => Algorithm::new::<sha3::Sha3_512>("sha3-512"),
            Hash::Md5 => Algorithm::new::<md5::Md5>("md5"),
        }
    }
}

/// The properties of a digest.
struct Algorithm {
    name: &'static str,
    oid: ObjectIdentifier,
    digest: fn(&[u8]) -> Vec<u8>,
    padding: fn() -> Pkcs1v15Sign,
}

impl Algorithm {
    fn new<D: Digest + AssociatedOid>(name: &'static str) -> Self {
        let digest = |data: &[u8]| D::digest(data).to_vec();
        Algorithm { name, oid: D::OID, digest, padding: Pkcs1v15Sign::new::<D> }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.config_name())
    }
}
