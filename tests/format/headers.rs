//! Headers of all shapes, written and read: whatever is put in comes out; a header that is damaged,
//! cut or lies about a length, also under right checksums, is a reject and never a panic.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::Index;
use snapfold::codec::{CodecId, Compression, CompressionId};
use snapfold::record::{Generation, Header, Record, RecordBuilder, RejectReason};
use snapfold::{AggregateKey, Timestamp};

use crate::record_bytes::{Field, RecordBytes, VARINTS, number, varint};

/// What a record is made from.
#[derive(Clone, Debug)]
struct Fields {
    parts: [String; 3],
    generation: Generation,
    version: u64,
    /// As-of time, creation time, time of the last event.
    times: [i64; 3],
    codec: u16,
    compress: bool,
    anchor: Option<Vec<u8>>,
    labels: Vec<String>,
    origin: Option<String>,
    raw: Vec<u8>,
}

impl Fields {
    fn build(&self) -> Record {
        let [tenant, kind, id] = &self.parts;
        let key = AggregateKey::from_parts(tenant, kind, id).unwrap();
        let [as_of, created_at, last] = self.times.map(Timestamp::from_micros);
        let mut builder = RecordBuilder::new(key, self.generation, self.version, as_of)
            .created_at(created_at)
            .last_recorded_at(last)
            .codec(CodecId::from_u16(self.codec));
        if self.compress {
            builder = builder.compression(Compression::lz4().min_bytes(0).min_saving_percent(0));
        }
        for label in &self.labels {
            builder = builder.label(label);
        }
        if let Some(anchor) = &self.anchor {
            builder = builder.anchor(anchor.clone());
        }
        if let Some(origin) = &self.origin {
            builder = builder.origin(origin);
        }
        builder.build(&self.raw).unwrap()
    }

    /// Whether a header says the same, and nothing else.
    fn check(&self, header: &Header<'_>) {
        assert_eq!([header.tenant, header.kind, header.id], self.parts.each_ref().map(|p| &**p));
        assert_eq!((header.generation, header.version), (self.generation, self.version));
        let times = [header.as_of, header.created_at, header.last_recorded_at];
        assert_eq!(times.map(Timestamp::as_micros), self.times);
        assert_eq!(header.codec.as_u16(), self.codec);
        assert_eq!(header.raw_bytes as usize, self.raw.len());
        assert_eq!(header.anchor, self.anchor.as_deref());
        assert_eq!(header.labels().collect::<Vec<_>>(), self.labels);
        assert_eq!(header.origin, self.origin.as_deref());
        assert_eq!((header.base, header.dictionary), (None, None));
    }
}

/// Numbers of any length in bits.
fn number_of_any_size() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
}

fn text() -> impl Strategy<Value = String> {
    let long = (120..40_000_usize).prop_map(|len| "y".repeat(len));
    prop_oneof![8 => "\\PC{0,24}", 1 => long]
}

fn fields() -> impl Strategy<Value = Fields> {
    let key = [text(), text(), text()];
    let generation = (number_of_any_size(), any::<u64>()).prop_map(|(schema, fingerprint)| {
        let schema_version = u32::try_from(schema & u64::from(u32::MAX)).unwrap();
        Generation { schema_version, fingerprint }
    });
    let near = (any::<i64>(), number_of_any_size(), any::<i64>())
        .prop_map(|(as_of, by, last)| [as_of, as_of.wrapping_add(by.cast_signed()), last]);
    let edge = || proptest::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX]);
    let times = prop_oneof![3 => near, 1 => [edge(), edge(), edge()]];
    let version = number_of_any_size().prop_map(|version| version.max(1));
    let raw = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        (0..70_000_usize).prop_map(|len| vec![7; len]),
    ];
    let extensions = (
        prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        prop::collection::vec(text(), 0..3),
        prop::option::of(text()),
    );
    let coding = (any::<u16>(), any::<bool>());
    (key, generation, version, times, coding, extensions, raw).prop_map(
        |(parts, generation, version, times, (codec, compress), extensions, raw)| {
            let (anchor, labels, origin) = extensions;
            Fields {
                parts,
                generation,
                version,
                times,
                codec,
                compress,
                anchor,
                labels,
                origin,
                raw,
            }
        },
    )
}

fn holds<S: Strategy>(seed: u64, cases: u32, inputs: &S, check: impl Fn(S::Value)) {
    let result = crate::property::runner(seed, cases, 2_000).run(inputs, |input| {
        check(input);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn what_is_put_into_a_header_comes_out_of_it() {
    let compressed = Cell::new(0);
    holds(1, 2_000, &fields(), |fields| {
        let record = fields.build();
        let header = record.verify().unwrap();
        fields.check(&header);
        if header.compression != CompressionId::NONE {
            compressed.set(compressed.get() + 1);
        }

        // The header needs no payload, and the page that specifies it tells the same.
        let own = header.header_bytes();
        fields.check(&Header::parse(&record.as_bytes()[..own]).unwrap());
        let bytes = RecordBytes::of(record.as_bytes()).unwrap();
        assert_eq!(number(bytes.get(Field::HeaderLength)), own as u64);
        assert_eq!(bytes.at(Field::Payload), own);
        assert_eq!(bytes.get(Field::Key), fields.parts.concat().as_bytes());
        assert_eq!(number(bytes.get(Field::Version)), fields.version);
        assert_eq!(number(bytes.get(Field::PayloadLength)), u64::from(header.payload_bytes));
        assert_eq!(bytes.signed(), record.as_bytes());
    });
    assert!(compressed.get() > 100, "records with a raw length are among them");
}

#[test]
fn a_header_that_was_read_is_the_only_encoding_of_its_fields() {
    let read = Cell::new(0);
    let damage = (any::<Index>(), any::<u8>());
    holds(2, 4_000, &(fields(), prop::collection::vec(damage, 1..4)), |(fields, damages)| {
        let record = fields.build();
        let mut bytes = RecordBytes::of(record.as_bytes()).unwrap();
        // Without extensions, whose order and number are free.
        bytes.set(Field::Extensions, &[]);
        bytes.fit_header();
        let mut bytes = bytes.bytes();
        let own = RecordBytes::of(&bytes).unwrap().at(Field::Payload);
        for (at, by) in damages {
            bytes[12 + at.index(own - 12)] ^= by;
        }
        crate::record_bytes::sign(&mut bytes);
        let damaged = Record::from_bytes(bytes.clone());
        let Ok(header) = damaged.header() else { return };
        let extensions = RecordBytes::of(&bytes).unwrap().get(Field::Extensions).len();
        if header.compression != CompressionId::NONE || extensions > 0 {
            return;
        }
        read.set(read.get() + 1);
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).unwrap();
        let again = RecordBuilder::new(key, header.generation, header.version, header.as_of)
            .created_at(header.created_at)
            .codec(header.codec)
            .build(&bytes[header.header_bytes()..]);
        assert_eq!(again.unwrap().as_bytes(), bytes);
    });
    assert!(read.get() > 100, "some are read: {}", read.get());
}

#[test]
fn a_changed_byte_and_a_cut_are_rejects() {
    holds(3, 150, &fields(), |mut fields| {
        fields.raw.truncate(50);
        let whole = fields.build();
        let whole = whole.as_bytes();
        let step = (whole.len() / 400).max(1);
        for at in (0..whole.len()).step_by(step) {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << (at % 8);
            Record::from_bytes(bytes).verify().expect_err("a bit was flipped");
            let cut = Record::from_bytes(whole[..at].to_vec());
            assert_eq!(cut.header().unwrap_err(), RejectReason::Truncated, "cut to {at}");
        }
    });
}

#[test]
fn a_number_that_lies_under_right_checksums_is_a_reject_or_another_snapshot() {
    let lie = prop_oneof![
        number_of_any_size().prop_map(varint),
        prop::collection::vec(any::<u8>(), 0..12),
        // Longer than it must be, and longer than 64 bits.
        (number_of_any_size(), 1..10_usize).prop_map(|(value, more)| {
            let mut bytes = varint(value);
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.extend(std::iter::repeat_n(0x80, more - 1).chain([0]));
            bytes
        }),
    ];
    let inputs = (fields(), any::<Index>(), lie, any::<bool>());
    let read = Cell::new(0);
    holds(4, 6_000, &inputs, |(fields, which, lie, fit)| {
        let mut bytes = RecordBytes::of(fields.build().as_bytes()).unwrap();
        let field = VARINTS[which.index(VARINTS.len())];
        let payload = bytes.get(Field::Payload).len() as u64;
        bytes.set(field, &lie);
        if fit && field != Field::HeaderLength {
            bytes.fit_header();
        }
        let lying = Record::from_bytes(bytes.signed());
        let Ok(header) = lying.header() else { return };
        read.set(read.get() + 1);
        // Whatever was read stands there, in the shortest form.
        let bytes = RecordBytes::of(lying.as_bytes()).unwrap();
        let numbers = VARINTS.map(|field| {
            let bytes = bytes.get(field);
            assert!(bytes.is_empty() || bytes == varint(number(bytes)), "{field:?}: {bytes:x?}");
            number(bytes)
        });
        let [own, tenant, kind, id, schema_version, version, created, stored, raw] = numbers;
        assert_eq!(
            [tenant, kind, id],
            [header.tenant, header.kind, header.id].map(|part| part.len() as u64)
        );
        assert_eq!(
            bytes.get(Field::Key),
            [header.tenant, header.kind, header.id].concat().as_bytes()
        );
        assert_eq!((own, stored), (bytes.at(Field::Payload) as u64, header.payload_bytes.into()));
        assert!(own + stored == lying.as_bytes().len() as u64 && (stored == payload || !fit));
        assert_eq!(schema_version, u64::from(header.generation.schema_version));
        assert_eq!(version, header.version);
        let age = header.created_at.as_micros().wrapping_sub(header.as_of.as_micros());
        let zigzag = if age < 0 { !(age << 1) } else { age << 1 };
        assert_eq!(created, zigzag.cast_unsigned());
        let compressed = header.compression != CompressionId::NONE;
        assert_eq!(if compressed { raw } else { stored }, u64::from(header.raw_bytes));
    });
    assert!(read.get() > 100, "some are other snapshots: {}", read.get());
}

#[test]
fn a_part_of_a_key_that_is_too_long_is_a_reject_though_it_is_there() {
    let long = "x".repeat(AggregateKey::MAX_PART_BYTES);
    let lengths = [Field::TenantLength, Field::KindLength, Field::IdLength];
    for (place, field) in lengths.into_iter().enumerate() {
        let mut parts = ["t"; 3];
        parts[place] = &long;
        let key = AggregateKey::from_parts(parts[0], parts[1], parts[2]).unwrap();
        let generation = Generation { schema_version: 1, fingerprint: 1 };
        let record = RecordBuilder::new(key, generation, 1, Timestamp::from_micros(0));
        let record = record.build(b"state").unwrap();
        record.verify().unwrap();
        let longer = format!("{long}x");
        parts[place] = &longer;
        let (length, text) = (varint(65_536), parts.concat());
        let fields = [(field, &*length), (Field::Key, text.as_bytes())];
        let longer = Record::from_bytes(crate::record_bytes::with(record.as_bytes(), &fields));
        let too_long = RejectReason::Malformed("a part of the key is too long");
        assert_eq!(longer.header().unwrap_err(), too_long);
    }
}
