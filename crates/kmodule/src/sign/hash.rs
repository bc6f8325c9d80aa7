//! The digests a kernel can be configured to sign modules with (`CONFIG_MODULE_SIG_HASH`).

use der::oid::{AssociatedOid, ObjectIdentifier};
use rsa::Pkcs1v15Sign;
use sha2::Digest;
use std::fmt;

/// A digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
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

    /// The digest that `CONFIG_MODULE_SIG_HASH` calls `name`, e.g. `sha256` or `sha3-384`.
    #[must_use]
    pub fn from_config_name(name: &str) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.config_name() == name)
    }

    /// The name in the kernel's configuration and on sign-file's command line.
    #[must_use]
    pub fn config_name(self) -> &'static str {
        match self {
            Hash::Sha1 => "sha1",
            Hash::Sha224 => "sha224",
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
            Hash::Sha512 => "sha512",
            Hash::Sha3_256 => "sha3-256",
            Hash::Sha3_384 => "sha3-384",
            Hash::Sha3_512 => "sha3-512",
            Hash::Md5 => "md5",
        }
    }

    /// The object identifier of the digest algorithm.
    pub(super) fn oid(self) -> ObjectIdentifier {
        match self {
            Hash::Sha1 => sha1::Sha1::OID,
            Hash::Sha224 => sha2::Sha224::OID,
            Hash::Sha256 => sha2::Sha256::OID,
            Hash::Sha384 => sha2::Sha384::OID,
            Hash::Sha512 => sha2::Sha512::OID,
            Hash::Sha3_256 => sha3::Sha3_256::OID,
            Hash::Sha3_384 => sha3::Sha3_384::OID,
            Hash::Sha3_512 => sha3::Sha3_512::OID,
            Hash::Md5 => md5::Md5::OID,
        }
    }

    pub(super) fn from_oid(oid: ObjectIdentifier) -> Option<Hash> {
        Hash::ALL.into_iter().chain([Hash::Md5]).find(|hash| hash.oid() == oid)
    }

    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => sha1::Sha1::digest(data).to_vec(),
            Hash::Sha224 => sha2::Sha224::digest(data).to_vec(),
            Hash::Sha256 => sha2::Sha256::digest(data).to_vec(),
            Hash::Sha384 => sha2::Sha384::digest(data).to_vec(),
            Hash::Sha512 => sha2::Sha512::digest(data).to_vec(),
            Hash::Sha3_256 => sha3::Sha3_256::digest(data).to_vec(),
            Hash::Sha3_384 => sha3::Sha3_384::digest(data).to_vec(),
            Hash::Sha3_512 => sha3::Sha3_512::digest(data).to_vec(),
            Hash::Md5 => md5::Md5::digest(data).to_vec(),
        }
    }

    /// PKCS#1 v1.5 padding with this digest's prefix.
    pub(super) fn padding(self) -> Pkcs1v15Sign {
        match self {
            Hash::Sha1 => Pkcs1v15Sign::new::<sha1::Sha1>(),
            Hash::Sha224 => Pkcs1v15Sign::new::<sha2::Sha224>(),
            Hash::Sha256 => Pkcs1v15Sign::new::<sha2::Sha256>(),
            Hash::Sha384 => Pkcs1v15Sign::new::<sha2::Sha384>(),
            Hash::Sha512 => Pkcs1v15Sign::new::<sha2::Sha512>(),
            Hash::Sha3_256 => Pkcs1v15Sign::new::<sha3::Sha3_256>(),
            Hash::Sha3_384 => Pkcs1v15Sign::new::<sha3::Sha3_384>(),
            Hash::Sha3_512 => Pkcs1v15Sign::new::<sha3::Sha3_512>(),
            Hash::Md5 => Pkcs1v15Sign::new::<md5::Md5>(),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.config_name())
    }
}
