//! The snapshot that a delta is based on: [`Base`].

/// Identifies the snapshot that a delta is based on. It has the same aggregate and generation as
/// the delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "fixed by the stored format")]
pub struct Base {
    /// The version of the base snapshot.
    pub version: u64,
    /// CRC-32 of the encoded state in the base snapshot, before compression. Compressing the base
    /// differently therefore does not affect its deltas.
    pub checksum: u32,
}
