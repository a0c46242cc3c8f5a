//! Decode of every codec behind the engine: a record with right checksums and a crafted payload.
//! The load gives a state, from the payload or from the events, and takes bounded memory.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use snapfold::codec::{Bincode, Codec, Json, MessagePack, Postcard};
use snapfold::manager::Origin;
use snapfold::record::{Record, RecordBuilder};
use snapfold::store::PutOptions;
use snapfold::{Aggregate, MemoryEvents, MemoryStore, SnapshotEngine, SnapshotStore, Timestamp};

use super::ready;
use super::record_bytes::{self, Field, varint};
use super::states::{Odds, Order, Outline};

/// bincode asks for what a length claims, up to 64 MiB in all; the others for at most 1 MiB before
/// they have seen as much.
pub const LIMIT: usize = 160 << 20;

/// What stands before the payload in the input.
pub const PREFIX: usize = 7;

/// The input: codec, state type, compression, the raw length that the record claims if it is
/// compressed (four bytes, little endian), payload.
pub fn run(input: &[u8]) {
    let Some((prefix, payload)) = input.split_first_chunk::<PREFIX>() else { return };
    let [codec, state, compression, claim @ ..] = *prefix;
    let case = Case { compression, claim, payload };
    match state % 3 {
        0 => case.with_codec::<Order>(codec),
        1 => case.with_codec::<Outline>(codec),
        _ => case.with_codec::<Odds>(codec),
    }
}

/// Inputs with whole payloads: of each type, in each codec.
pub fn samples() -> Vec<Vec<u8>> {
    fn encoded<S>(state: &S, number: u8) -> Vec<Vec<u8>>
    where
        S: Serialize + DeserializeOwned + 'static,
    {
        let codecs: [&dyn Codec<S>; 4] = [&Postcard, &MessagePack, &Json, &Bincode];
        let codecs = (0_u8..).zip(codecs);
        codecs
            .map(|(codec, by)| {
                let mut input = vec![codec, number, 0, 0, 0, 0, 0];
                by.encode(state, &mut input).unwrap();
                input
            })
            .collect()
    }
    [encoded(&Outline::sample(), 1), encoded(&Odds::sample(), 2)].concat()
}

struct Case<'a> {
    compression: u8,
    claim: [u8; 4],
    payload: &'a [u8],
}

impl Case<'_> {
    fn with_codec<S: Aggregate<Event = ()> + Serialize + DeserializeOwned + Debug>(
        &self,
        codec: u8,
    ) {
        match codec % 4 {
            0 => self.load::<S>(Postcard),
            1 => self.load::<S>(MessagePack),
            2 => self.load::<S>(Json),
            _ => self.load::<S>(Bincode),
        }
    }

    fn load<S: Aggregate<Event = ()> + Debug>(&self, codec: impl Codec<S> + Copy) {
        let (events, store) = (MemoryEvents::new(), MemoryStore::new());
        let key = S::key("k").unwrap();
        let at = Timestamp::from_seconds(1);
        events.append(&key, at, ());
        let builder = SnapshotEngine::builder_with_codec(events, store.clone(), codec);
        let engine = builder.build().unwrap();

        let record = RecordBuilder::new(key.clone(), engine.generation(), 1, at)
            .codec(codec.id())
            .build(self.payload)
            .unwrap();
        let mut bytes = record.as_bytes().to_vec();
        if self.compression != 0 {
            let claim = varint(u32::from_le_bytes(self.claim).into());
            let claims =
                [(Field::Compression, &[self.compression][..]), (Field::RawLength, &claim)];
            bytes = record_bytes::with(&bytes, &claims);
        }
        let record = Record::from_bytes(bytes);
        record.verify().expect("its checksums are right");
        ready(store.put(vec![record], PutOptions::default())).unwrap();

        let loaded = ready(engine.load(&key)).expect("a payload is never a failed load");
        assert_eq!(loaded.version, 1);
        let used = loaded.provenance.origin == Origin::Snapshot;
        assert_eq!(loaded.provenance.rejected.is_empty(), used, "{}", loaded.provenance);
        if self.compression == 0 {
            let limits = codec.inspect(&[]).unwrap().limits;
            assert_eq!(codec.decode(self.payload, limits).is_ok(), used);
        }
        if used {
            is_stable(&codec, &*loaded.state);
            let longer = [self.payload, &[0]].concat();
            let limits = codec.inspect(&[]).unwrap().limits;
            let all = self.compression != 0 || codec.decode(&longer, limits).is_err();
            assert!(all, "a byte behind the state is not noticed");
        } else {
            let initial = format!("{:?}", S::initial(&key));
            assert_eq!(format!("{:?}", loaded.state), initial, "a part of the payload got in");
        }
    }
}

/// A state that was decoded is one that can be stored, or is refused with a reason.
fn is_stable<S>(codec: &impl Codec<S>, state: &S) {
    let mut first = Vec::new();
    let Ok(()) = codec.encode(state, &mut first) else { return };
    let limits = codec.inspect(&[]).unwrap().limits;
    let again = codec.decode(&first, limits).expect("what was encoded decodes");
    let mut second = Vec::new();
    codec.encode(&again, &mut second).unwrap();
    assert_eq!(first, second);
}
