//! Differences as small numbers.

use crate::record::wire;

/// Encodes the wrapping difference `to - from` as a number that is small if the two are close.
pub(super) fn zigzag(from: u64, to: u64) -> u64 {
    wire::zigzag(to.wrapping_sub(from).cast_signed())
}

/// Returns the `to` that was passed to [`zigzag`].
pub(super) fn unzigzag(from: u64, coded: u64) -> u64 {
    from.wrapping_add(wire::unzigzag(coded).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_come_back_as_they_were() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            for from in [0, 5, u64::MAX] {
                assert_eq!(unzigzag(from, zigzag(from, value)), value);
            }
        }
    }
}
