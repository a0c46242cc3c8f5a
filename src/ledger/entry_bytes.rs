//! The canonical bytes of an audit entry, which are hashed and stored in trail documents.

use super::audit::{AuditEntry, AuditOutcome};
use crate::key::AggregateKey;
use crate::wire::{ByteReader, put_option, put_text, put_time};

/// Encodes an entry as specified by [`AuditHash::of`](super::hash::AuditHash::of), points 4 to 9.
pub(super) fn entry_bytes(entry: &AuditEntry) -> Vec<u8> {
    let mut out = Vec::new();
    put_time(&mut out, entry.at);
    put_text(&mut out, entry.tenant());
    put_option(&mut out, entry.key.as_ref(), |out, key| {
        put_text(out, key.kind());
        put_text(out, key.id());
    });
    put_option(&mut out, entry.version, |out, version| out.extend(version.to_le_bytes()));
    for text in [&entry.actor, &entry.action, &entry.reason, &entry.meta, &entry.idempotency] {
        put_text(&mut out, text);
    }
    let failed = match &entry.outcome {
        AuditOutcome::Ok => None,
        AuditOutcome::Failed { kind, message } => Some((kind, message)),
    };
    put_option(&mut out, failed, |out, (kind, message)| {
        put_text(out, kind);
        put_text(out, message);
    });
    out
}

/// Parses the output of [`entry_bytes`]; `None` if the bytes do not have that form.
pub(super) fn parse_entry(bytes: &[u8]) -> Option<AuditEntry> {
    let mut reader = ByteReader(bytes);
    let at = reader.time()?;
    let tenant = reader.text()?;
    let key = reader
        .option(|reader| AggregateKey::from_stored(tenant, reader.text()?, reader.text()?).ok())?;
    let version = reader.option(ByteReader::u64)?;
    let mut entry = AuditEntry::new(at, reader.text()?, reader.text()?)
        .reason(reader.text()?)
        .meta(reader.text()?)
        .idempotency(reader.text()?);
    let failed = reader.option(|reader| Some(AuditOutcome::failed(reader.text()?, reader.text()?)));
    entry = match key {
        Some(key) => entry.about(key),
        None => entry.in_tenant(tenant),
    };
    entry.version = version;
    Some(entry.outcome(failed?.unwrap_or_default())).filter(|_| reader.0.is_empty())
}

#[cfg(test)]
mod tests {
    //! Two entries with the same bytes have the same hash, so one could replace the other.

    use std::collections::BTreeSet;

    use super::*;
    use crate::timestamp::Timestamp;

    /// Entries that differ from each other in one field.
    fn entries() -> Vec<AuditEntry> {
        let entry = || AuditEntry::new(Timestamp::MIN, "ab", "c");
        let key = |tenant: &str, kind: &str, id: &str| {
            AggregateKey::from_parts(tenant, kind, id).unwrap()
        };
        vec![
            entry(),
            AuditEntry::new(Timestamp::MIN, "a", "bc"),
            AuditEntry::new(Timestamp::MAX, "ab", "c"),
            entry().about(key("", "", "")),
            entry().about(key("t", "", "")),
            entry().about(key("", "t", "")),
            entry().about(key("", "", "t")),
            entry().in_tenant("t"),
            entry().version(0),
            entry().version(u64::MAX),
            entry().reason("r\0"),
            entry().meta("r\0"),
            entry().idempotency("r\0"),
            entry().outcome(AuditOutcome::failed("", "")),
            entry().outcome(AuditOutcome::failed("x", "")),
            entry().outcome(AuditOutcome::failed("", "x")),
        ]
    }

    #[test]
    fn each_entry_has_bytes_of_its_own_and_comes_back_from_them() {
        let entries = entries();
        let bytes: BTreeSet<_> = entries.iter().map(entry_bytes).collect();
        assert_eq!(bytes.len(), entries.len());
        for entry in entries {
            let bytes = entry_bytes(&entry);
            for len in 0..bytes.len() {
                assert_eq!(parse_entry(&bytes[..len]), None);
            }
            assert_eq!(parse_entry(&[&bytes[..], &[0]].concat()), None);
            assert_eq!(parse_entry(&bytes), Some(entry));
        }
    }

    /// The documented form, written by hand. The hash was computed with `sha256sum`.
    #[test]
    fn the_bytes_and_the_hash_are_as_documented() {
        let key = AggregateKey::from_parts("t", "k", "i").unwrap();
        let entry = AuditEntry::new(Timestamp::from_micros(5), "bob", "delete")
            .about(key)
            .version(7)
            .reason("why")
            .outcome(AuditOutcome::failed("Store", "gone"));
        let expected = [
            &[5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..],
            b"t\x01\x01\0\0\0k\x01\0\0\0i\x01\x07\0\0\0\0\0\0\0\x03\0\0\0bob\x06\0\0\0delete",
            b"\x03\0\0\0why\0\0\0\0\0\0\0\0\x01\x05\0\0\0Store\x04\0\0\0gone",
        ];
        assert_eq!(entry_bytes(&entry), expected.concat());
        let hash =
            crate::ledger::AuditHash::of(&crate::ledger::AuditHash::from_bytes([1; 32]), 9, &entry);
        assert_eq!(
            hash.to_string(),
            "a5a534c6e6482166474166032a058d68ed700088e8ac21534ff4a090813fa42c"
        );
    }
}
