//! FNV-1a, 64 bit: the stable hash behind tenant keys, schema hashes and rendezvous homes.
//!
//! Keys are compared across processes, releases and files, so the hash must never change. The hashers of the
//! standard library and of `foldhash` promise no stability; a cryptographic hash costs ten times as much on
//! the short names that are hashed once a request. Source: Fowler, Noll, Vo, draft-eastlake-fnv.

/// Streaming FNV-1a state.
#[derive(Debug, Clone, Copy)]
pub struct Fnv1a(u64);

/// Offset basis of the 64-bit FNV-1a.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
/// Prime of the 64-bit FNV-1a.
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Fnv1a {
    /// The empty hash.
    pub const fn new() -> Self {
        Self(BASIS)
    }

    /// Adds bytes.
    pub const fn write(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() {
            self.0 = (self.0 ^ bytes[i] as u64).wrapping_mul(PRIME);
            i += 1;
        }
    }

    /// The hash so far.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for Fnv1a {
    fn default() -> Self {
        Self::new()
    }
}

/// Hash of one name.
pub const fn hash_name(name: &str) -> u64 {
    let mut hash = Fnv1a::new();
    hash.write(name.as_bytes());
    hash.finish()
}

/// Mixes two hashes into one, order-sensitive (the finaliser of SplitMix64 over their combination).
pub const fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_equals_the_published_test_vectors() {
        assert_eq!(hash_name(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash_name("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash_name("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn mixing_depends_on_the_order() {
        assert_ne!(mix(1, 2), mix(2, 1));
    }
}
