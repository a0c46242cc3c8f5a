//! What a delta builds on: [`Base`].

/// The snapshot that a delta builds on: of the same aggregate and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "fixed by the stored format")]
pub struct Base {
    /// The version of the base.
    pub version: u64,
    /// CRC-32 of the stored payload of the base.
    pub checksum: u32,
}
