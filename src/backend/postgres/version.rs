//! Unsigned numbers in signed columns.

/// The highest version that a `bigint` column can hold.
pub(super) const MAX: u64 = i64::MAX as u64;

/// Converts `version` to an upper bound; all stored versions are at most [`MAX`].
pub(super) fn at_most(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// Converts a stored version. Negative values, which no snapshot has, become 0.
pub(super) fn from_column(version: i64) -> u64 {
    u64::try_from(version).unwrap_or(0)
}

/// Converts a fingerprint to a `bigint` with the same order: only the highest bit differs.
pub(super) fn fingerprint_column(fingerprint: u64) -> i64 {
    (fingerprint ^ (1 << 63)).cast_signed()
}

/// Reverses [`fingerprint_column`].
pub(super) fn fingerprint(column: i64) -> u64 {
    column.cast_unsigned() ^ (1 << 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_come_back_and_keep_their_order() {
        let values = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX];
        for value in values {
            assert_eq!(fingerprint(fingerprint_column(value)), value);
        }
        assert!(values.map(fingerprint_column).is_sorted());
    }
}
