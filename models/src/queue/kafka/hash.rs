//! Which partition a key belongs to.

/// The partition of a record with this key, of so many: `toPositive(murmur2(key)) % partitions`, the key written as a
/// `LongSerializer` does, in eight bytes, big-endian (`BuiltInPartitioner.partitionForKey`).
#[inline]
pub fn partition_of(key: u64, partitions: u32) -> u32 {
    (murmur2(&key.to_be_bytes()) & 0x7FFF_FFFF) % partitions
}

/// MurmurHash2 of 32 bits (Appleby) with the seed that Kafka has (`Utils.murmur2`).
#[inline]
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_B28C;
    const M: u32 = 0x5BD1_E995;
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = SEED ^ bytes.len() as u32;
    for word in words {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (k ^ k >> 24).wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka's own examples (`UtilsTest.testMurmur2`).
    #[test]
    fn the_hash_is_the_one_of_kafka() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
    }

    #[test]
    fn a_key_always_has_the_same_partition_and_keys_spread() {
        let mut counts = [0; 8];
        for key in 0..8000 {
            assert_eq!(partition_of(key, 8), partition_of(key, 8));
            counts[partition_of(key, 8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
