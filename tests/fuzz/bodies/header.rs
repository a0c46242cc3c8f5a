//! Header decode. Any bytes are a header or a reject; what was read can be written again and then
//! reads the same.

use snapfold::codec::{Seal, SealContext, Sealed};
use snapfold::record::{Header, RecordBuilder, SigningKeys, SnapshotDetails, SnapshotMeta};
use snapfold::{AggregateKey, BoxError};

use super::sign;

/// The first byte of the input: 1 puts the checksums right, 3 the lengths too.
pub fn run(input: &[u8]) {
    let Some((flags, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if flags & 1 != 0 {
        sign::record(&mut bytes, flags & 2 != 0);
    }
    let header = match Header::parse(&bytes) {
        Ok(header) => header,
        Err(reject) => {
            assert!(!reject.to_string().is_empty());
            return;
        }
    };
    let meta = SnapshotMeta::from_header(&header).expect("the key of a header always fits");

    // Just its own bytes are needed, and all of them.
    let own = header.header_bytes();
    let again = Header::parse(&bytes[..own]).expect("the payload is not looked at");
    assert_eq!(SnapshotMeta::from_header(&again).unwrap(), meta);
    assert_eq!(header.record_bytes(), own as u64 + u64::from(header.payload_bytes));
    Header::parse(&bytes[..own - 1]).expect_err("a byte of the header is missing");
    // Ids may be personal data, and do not belong into logs by way of Debug.
    let debug = format!("{header:?}");
    assert!(header.id.len() < 12 || !debug.contains(header.id), "{debug}");

    assert_ne!(header.version, 0);
    assert!(header.labels().count() <= own);
    written_again_it_reads_the_same(&header, &meta);
}

fn written_again_it_reads_the_same(header: &Header<'_>, meta: &SnapshotMeta) {
    let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).unwrap();
    assert!(header.is_of(&key));
    assert_eq!(key, meta.key);
    let mut builder = RecordBuilder::new(key, header.generation, header.version, header.as_of)
        .created_at(header.created_at)
        .last_recorded_at(header.last_recorded_at)
        .codec(header.codec);
    if let Some(anchor) = header.anchor {
        builder = builder.anchor(anchor);
    }
    for label in header.labels() {
        builder = builder.label(label);
    }
    if let Some(origin) = header.origin {
        builder = builder.origin(origin);
    }
    if let Some(digest) = header.digest {
        builder = builder.digest(digest);
    }
    if let Some(base) = header.base {
        builder = builder.base(base);
    }
    if let Some(id) = header.dictionary {
        builder = builder.dictionary(id);
    }
    if let Some(key_id) = header.seal_key {
        builder = builder.seal(Named(key_id.to_owned()));
    }
    let details = header.details();
    let mut expected = meta.clone();
    if details.check().is_ok() {
        builder = builder.details(details);
    } else {
        // Another writer may have other limits for what no load depends on.
        expected = expected.with_details(SnapshotDetails::default());
    }
    match header.signing_key.map(|key_id| SigningKeys::new(key_id, [7; 32])) {
        Some(Ok(keys)) => builder = builder.signing_keys(&keys),
        // Another writer may allow other ids.
        Some(Err(_)) => expected.signing_key = None,
        None => {}
    }
    let record = builder.build(b"state").expect("what was read is within the bounds");
    let again = SnapshotMeta::from_header(&record.verify().unwrap()).unwrap();
    // The payload is another one.
    expected.compression = again.compression;
    expected.stored_bytes = again.stored_bytes;
    expected.raw_bytes = again.raw_bytes;
    expected.payload_checksum = again.payload_checksum;
    assert_eq!(again, expected);
}

/// Names a key, and changes nothing.
#[derive(Debug)]
struct Named(String);

impl Seal for Named {
    fn seal(&self, _: SealContext<'_>, payload: &[u8]) -> Result<Sealed, BoxError> {
        Ok(Sealed::new(self.0.clone(), payload))
    }

    fn open(
        &self,
        _: SealContext<'_>,
        _: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(Some(sealed.to_vec()))
    }
}
