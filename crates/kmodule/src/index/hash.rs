//! The iteration order of kmod's hash tables. Two of depmod's files list their entries in that order.

/// Sorts keys in the iteration order of kmod's hash table with `buckets` buckets: by bucket, then by bytes
/// within a bucket. `buckets` is a power of two.
pub(super) fn sort_by_bucket<T>(entries: &mut [T], buckets: u32, key: impl Fn(&T) -> &str) {
    let mask = buckets.saturating_sub(1);
    entries.sort_by_cached_key(|entry| {
        let key = key(entry);
        (superfast(key.as_bytes()) & mask, key.to_owned())
    });
}

/// Paul Hsieh's SuperFastHash, as in kmod (shared/hash.c): it reads 16-bit words in the machine's byte order.
fn superfast(key: &[u8]) -> u32 {
    let half = |pair: [u8; 2]| u32::from(u16::from_ne_bytes(pair));
    let mut hash = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut rest = key;
    while let [a, b, c, d, tail @ ..] = rest {
        hash = hash.wrapping_add(half([*a, *b]));
        let mixed = (half([*c, *d]) << 11) ^ hash;
        hash = (hash << 16) ^ mixed;
        hash = hash.wrapping_add(hash >> 11);
        rest = tail;
    }
    match *rest {
        [a, b, c] => {
            hash = hash.wrapping_add(half([a, b]));
            hash ^= hash << 16;
            hash ^= u32::from(c) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [a, b] => {
            hash = hash.wrapping_add(half([a, b]));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [a] => {
            hash = hash.wrapping_add(u32::from(a));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    hash ^= hash << 3;
    hash = hash.wrapping_add(hash >> 5);
    hash ^= hash << 4;
    hash = hash.wrapping_add(hash >> 17);
    hash ^= hash << 25;
    hash.wrapping_add(hash >> 6)
}
