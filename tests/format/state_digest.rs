//! A state is what was written, by proof (R21): what decodes to another value is a miss, and what
//! cannot be read back as it was is not stored.

use std::collections::{BTreeMap, HashSet};
use std::error::Error as _;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapfold::codec::{
    Bincode, Codec, CodecId, DecodeLimits, Digester, Json, MessagePack, Postcard, TypeInfo,
};
use snapfold::engine::{EngineBuilder, ReplayLoader, Verify};
use snapfold::manager::{CreateOptions, CreateOutcome, Origin, Proof};
use snapfold::record::{DigestKind, RejectReason};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, BoxError, Error, ErrorKind, Loaded, Loader, MemoryEvents, MemoryStore,
    SnapshotEngine, Timestamp,
};

/// An aggregate of kind "thing" that folds numbers.
macro_rules! aggregate {
    ($name:ident, $initial:expr, $apply:expr) => {
        impl Aggregate for $name {
            type Event = i64;
            const KIND: &'static str = "thing";
            const SCHEMA_VERSION: u32 = 1;

            fn initial(_: &AggregateKey) -> Self {
                $initial
            }

            fn apply(&mut self, event: &i64) {
                let apply: fn(&mut Self, i64) = $apply;
                apply(self, *event);
            }
        }
    };
}

fn key() -> AggregateKey {
    AggregateKey::new("thing", "a").unwrap()
}

fn history(events: &[i64]) -> MemoryEvents<i64> {
    let source = MemoryEvents::new();
    for (at, event) in (0..).zip(events) {
        source.append(&key(), Timestamp::from_seconds(at), *event);
    }
    source
}

fn builder<A: Aggregate<Event = i64>>(
    events: &MemoryEvents<i64>,
    store: &MemoryStore,
    codec: impl Codec<A>,
) -> EngineBuilder<A> {
    SnapshotEngine::builder_with_codec(events.clone(), store.clone(), codec).trigger(manual())
}

async fn replayed<A: Aggregate<Event = i64>>(events: &MemoryEvents<i64>) -> A {
    (*ReplayLoader::<A>::new(events.clone()).load(&key()).await.unwrap().state).clone()
}

/// Takes a snapshot of the newest state, adds an event and loads.
async fn roundtrip<A>(codec: impl Codec<A>, events: &[i64]) -> Result<(Loaded<A>, A), Error>
where
    A: Aggregate<Event = i64>,
{
    let (events, store) = (history(events), MemoryStore::new());
    let engine = builder::<A>(&events, &store, codec).build()?;
    engine.create(&key()).await?;
    events.append(&key(), Timestamp::from_seconds(99), 1);
    let loaded = engine.load(&key()).await?;
    Ok((loaded, replayed(&events).await))
}

async fn refused<A: Aggregate<Event = i64>>(codec: impl Codec<A>, events: &[i64]) -> String {
    let error = roundtrip(codec, events).await.err().expect("it cannot be carried");
    assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
    error.to_string()
}

async fn exact<A: Aggregate<Event = i64> + PartialEq + Debug>(
    codec: impl Codec<A>,
    events: &[i64],
) {
    let (loaded, truth) = roundtrip(codec, events).await.unwrap();
    assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{}", loaded.provenance);
    assert_eq!(loaded.provenance.snapshot.unwrap().proof, Proof::Verified);
    assert_eq!(*loaded.state, truth);
}

/// What the rest of the file is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Total {
    sum: i64,
    count: u32,
}
aggregate!(Total, Self::default(), |state, event| {
    state.sum += event;
    state.count += 1;
});

// Metadata ----------------------------------------------------------------------------------------

#[tokio::test]
async fn the_metadata_has_the_digest_of_the_value_whatever_the_codec() {
    async fn digest(codec: impl Codec<Total>) -> Option<snapfold::record::StateDigest> {
        let (events, store) = (history(&[1, 2]), MemoryStore::new());
        let engine = builder(&events, &store, codec).build().unwrap();
        let CreateOutcome::Stored(meta) = engine.create(&key()).await.unwrap() else { panic!() };
        let listed = engine.snapshots(&key(), 0..=9).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&meta));
        meta.digest
    }
    let expected = Digester::serde().digest(&Total { sum: 3, count: 2 }).unwrap();
    assert_eq!(expected.unwrap().kind(), DigestKind::Ordered);
    assert_eq!(digest(Postcard).await, expected);
    assert_eq!(digest(Bincode).await, expected);
    assert_eq!(digest(MessagePack).await, expected);
    assert_eq!(digest(Json).await, expected);
}

// Types that changed where no fingerprint sees it --------------------------------------------------

mod old {
    use super::*;
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(super) struct Inner {
        pub(super) sum: i64,
    }
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(super) struct Outer {
        #[serde(flatten)]
        pub(super) inner: Inner,
    }
    aggregate!(Outer, Self::default(), |state, event| state.inner.sum += event);
}

mod new {
    use super::*;
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(super) struct Inner {
        pub(super) sum: i64,
        #[serde(default)]
        pub(super) largest: i64,
    }
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    pub(super) struct Outer {
        #[serde(flatten)]
        pub(super) inner: Inner,
    }
    aggregate!(Outer, Self::default(), |state, event| {
        state.inner.sum += event;
        state.inner.largest = state.inner.largest.max(event);
    });
}

async fn written_by_the_old_type(
    codec: impl Codec<old::Outer>,
) -> (MemoryEvents<i64>, MemoryStore) {
    let (events, store) = (history(&[5, 9, 2]), MemoryStore::new());
    let engine = builder::<old::Outer>(&events, &store, codec).build().unwrap();
    engine.create(&key()).await.unwrap();
    (events, store)
}

#[tokio::test]
async fn a_field_that_a_flattened_type_gained_is_a_miss_and_not_its_default() {
    async fn with(codec: impl Codec<old::Outer> + Codec<new::Outer> + Copy) {
        let (events, store) = written_by_the_old_type(codec).await;
        let new = builder::<new::Outer>(&events, &store, codec).build().unwrap();
        let loaded = new.load(&key()).await.unwrap();
        assert_eq!(*loaded.state, replayed(&events).await);
        assert_eq!(loaded.state.inner.largest, 9);
        let reasons: Vec<_> = loaded.provenance.rejected.iter().map(|r| &r.reason).collect();
        assert!(
            matches!(reasons[..], [RejectReason::OtherState | RejectReason::Stale(_)]),
            "{}",
            loaded.provenance
        );
    }
    with(MessagePack).await;
    with(Json).await;
}

/// A codec that says that nothing has changed, as a fingerprint of its own would.
#[derive(Clone, Copy, Debug)]
struct OneShape;

impl<S: Serialize + DeserializeOwned + 'static> Codec<S> for OneShape {
    fn id(&self) -> CodecId {
        CodecId::custom(1)
    }
    fn is_self_describing(&self) -> bool {
        true
    }
    fn inspect(&self, _: &[S]) -> Result<TypeInfo, Error> {
        Ok(TypeInfo::default())
    }
    fn digester(&self) -> Digester<S> {
        Digester::serde()
    }
    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(serde_json::to_writer(out, state)?)
    }
    fn decode(&self, bytes: &[u8], _: DecodeLimits) -> Result<S, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[tokio::test]
async fn a_state_that_is_not_the_one_written_is_accepted_only_by_name_and_without_its_events() {
    let (events, store) = written_by_the_old_type(OneShape).await;
    let other = [RejectReason::OtherState];
    let rejects = |loaded: &Loaded<new::Outer>| {
        loaded.provenance.rejected.iter().map(|r| r.reason.clone()).collect::<Vec<_>>()
    };

    let lenient = builder::<new::Outer>(&events, &store, OneShape).accept_unverified();
    let lenient = lenient.build().unwrap();
    let loaded = lenient.load(&key()).await.unwrap();
    assert_eq!((loaded.provenance.origin, loaded.state.inner.largest), (Origin::Replay, 9));
    assert_eq!(rejects(&loaded), other, "the events are there, so nothing is accepted");
    let fetched = lenient.latest_snapshot(&key()).await.unwrap();
    assert!(fetched.usable().is_none());

    events.truncate_below(&key(), 3);
    events.append(&key(), Timestamp::from_seconds(9), 1);
    let strict = builder::<new::Outer>(&events, &store, OneShape).build().unwrap();
    let error = strict.load(&key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable);
    assert!(error.to_string().contains("a different state than was written"), "{error}");

    let loaded = lenient.load(&key()).await.unwrap();
    assert_eq!((loaded.provenance.origin, loaded.state.inner.sum), (Origin::Snapshot, 17));
    assert_eq!(loaded.provenance.snapshot.unwrap().proof, Proof::Accepted);
    assert!(loaded.provenance.to_string().contains("accepted although"), "{}", loaded.provenance);
}

#[tokio::test]
async fn only_sampled_loads_are_verified_where_that_was_asked_for() {
    let (events, store) = written_by_the_old_type(OneShape).await;
    let sampled = builder::<new::Outer>(&events, &store, OneShape).verify(Verify::Sampled(3));
    let sampled = sampled.build().unwrap();
    for turn in 0..7 {
        let loaded = sampled.load(&key()).await.unwrap();
        let is_verified = turn % 3 == 0;
        assert_eq!(loaded.provenance.origin == Origin::Replay, is_verified, "{turn}");
        let proof = loaded.provenance.snapshot.map(|used| used.proof);
        assert_eq!(proof, (!is_verified).then_some(Proof::Sampled));
    }
}

#[tokio::test]
async fn the_word_of_the_application_stands_in_for_a_proof_and_is_shown() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Grown {
        sum: i64,
        count: u32,
        #[serde(default)]
        note: String,
    }
    aggregate!(Grown, Self::default(), |state, event| {
        state.sum += event;
        state.count += 1;
    });
    let (events, store) = (history(&[1, 2]), MemoryStore::new());
    builder::<Total>(&events, &store, Json).build().unwrap().create(&key()).await.unwrap();
    let tolerant =
        builder::<Grown>(&events, &store, Json).tolerate_shape_changes().build().unwrap();
    let loaded = tolerant.load(&key()).await.unwrap();
    assert_eq!(loaded.provenance.snapshot.unwrap().proof, Proof::Tolerated);
    assert!(loaded.provenance.to_string().contains("tolerated"), "{}", loaded.provenance);
    // Where nothing has changed, it is compared all the same.
    tolerant.create(&key()).await.unwrap();
    let loaded = tolerant.load(&key()).await.unwrap();
    assert_eq!(loaded.provenance.snapshot.unwrap().proof, Proof::Verified);
}

#[tokio::test]
async fn an_upcaster_gets_only_the_old_state_that_was_written() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Wrong {
        sum: i32,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct WrongOuter {
        #[serde(flatten)]
        inner: Wrong,
    }
    let (events, store) = written_by_the_old_type(MessagePack).await;
    let upcast =
        |old: old::Outer| Ok(new::Outer { inner: new::Inner { sum: old.inner.sum, largest: 9 } });
    let engine = |codec| {
        builder::<new::Outer>(&events, &store, Json).upcasts(1, codec, upcast).build().unwrap()
    };
    let loaded = engine(MessagePack).load(&key()).await.unwrap();
    assert_eq!(loaded.provenance.snapshot.unwrap().proof, Proof::Verified);
    assert_eq!(loaded.state.inner, new::Inner { sum: 16, largest: 9 });

    // An old type that is told wrongly: it decodes, and is not what was written.
    let wrong = builder::<new::Outer>(&events, &store, Json)
        .upcasts(1, MessagePack, |_: WrongOuter| -> Result<new::Outer, BoxError> {
            panic!("it is judged before it is upcast")
        })
        .build()
        .unwrap();
    assert_eq!(wrong.load(&key()).await.unwrap().provenance.origin, Origin::Replay);
}

// Codecs of one's own -----------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct Own<F: Fn() -> Digester<Total>> {
    digester: F,
    loses: bool,
}

impl<F> Codec<Total> for Own<F>
where
    F: Fn() -> Digester<Total> + Debug + Send + Sync + 'static,
{
    fn id(&self) -> CodecId {
        CodecId::custom(2)
    }
    fn is_self_describing(&self) -> bool {
        false
    }
    fn inspect(&self, _: &[Total]) -> Result<TypeInfo, Error> {
        Ok(TypeInfo::default())
    }
    fn digester(&self) -> Digester<Total> {
        (self.digester)()
    }
    fn encode(&self, state: &Total, out: &mut Vec<u8>) -> Result<(), BoxError> {
        out.extend(state.sum.to_le_bytes());
        out.extend(if self.loses { 0 } else { state.count }.to_le_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8], _: DecodeLimits) -> Result<Total, BoxError> {
        let (sum, count) = bytes.split_at(8);
        let (sum, count) = (sum.try_into()?, count.try_into()?);
        Ok(Total { sum: i64::from_le_bytes(sum), count: u32::from_le_bytes(count) })
    }
}

fn of_both(state: &Total) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&state.sum.to_le_bytes());
    bytes[8..12].copy_from_slice(&state.count.to_le_bytes());
    bytes
}

#[tokio::test]
async fn a_codec_of_ones_own_brings_its_digest_or_says_that_it_has_none() {
    fn custom() -> Digester<Total> {
        Digester::custom(of_both)
    }
    fn none() -> Digester<Total> {
        Digester::none()
    }
    let codec = |digester, loses| Own::<fn() -> Digester<Total>> { digester, loses };
    for (digester, proof) in [
        (custom as fn() -> _, Proof::Verified),
        (Digester::serde, Proof::Verified),
        (none, Proof::Absent),
    ] {
        let (loaded, truth) = roundtrip(codec(digester, false), &[1, 2]).await.unwrap();
        assert_eq!((&*loaded.state, loaded.provenance.snapshot.unwrap().proof), (&truth, proof));
        assert_eq!(loaded.provenance.to_string().contains("(unverified)"), proof == Proof::Absent);
    }
    refused(codec(custom, true), &[1, 2]).await;
    let text = refused(codec(Digester::serde, true), &[1, 2]).await;
    assert!(text.contains("(look at count)"), "{text}");
}

/// Not known to serde; its codec hands the inner state to another one.
#[derive(Clone, Debug)]
struct Sealed(Inner);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Inner {
    sum: i64,
    #[allow(clippy::option_option, reason = "that is the point")]
    bonus: Option<Option<i64>>,
}
aggregate!(Sealed, Self(Inner::default()), |state, event| {
    state.0.sum += event;
    state.0.bonus = (event > 9).then_some(None);
});

#[derive(Clone, Copy, Debug)]
struct Seals<C>(C);

impl<C: Codec<Inner>> Codec<Sealed> for Seals<C> {
    fn id(&self) -> CodecId {
        self.0.id()
    }
    fn is_self_describing(&self) -> bool {
        self.0.is_self_describing()
    }
    fn inspect(&self, samples: &[Sealed]) -> Result<TypeInfo, Error> {
        self.0.inspect(&samples.iter().map(|sealed| sealed.0.clone()).collect::<Vec<_>>())
    }
    fn digester(&self) -> Digester<Sealed> {
        self.0.digester().map(|sealed: &Sealed| &sealed.0)
    }
    fn encode(&self, state: &Sealed, out: &mut Vec<u8>) -> Result<(), BoxError> {
        self.0.encode(&state.0, out)
    }
    fn decode(&self, bytes: &[u8], limits: DecodeLimits) -> Result<Sealed, BoxError> {
        self.0.decode(bytes, limits).map(Sealed)
    }
}

#[tokio::test]
async fn a_codec_that_wraps_another_one_takes_its_digester() {
    let (loaded, truth) = roundtrip(Seals(Json), &[3, 4]).await.unwrap();
    assert_eq!(loaded.provenance.snapshot.unwrap().proof, Proof::Verified);
    assert_eq!(loaded.state.0, truth.0);
    let text = refused(Seals(Json), &[10]).await;
    assert!(text.contains("(look at bonus)") && text.contains("the Postcard codec"), "{text}");

    let plain: Digester<Inner> = Digester::serde();
    let (a, b) = (Inner { sum: 1, bonus: None }, Inner { sum: 2, bonus: None });
    for digester in [
        plain,
        Digester::custom(|inner: &Inner| [inner.sum.to_le_bytes(); 2].concat().try_into().unwrap()),
    ] {
        let mapped = digester.clone().map(|sealed: &Sealed| &sealed.0);
        let of = |inner: &Inner| mapped.digest(&Sealed(inner.clone())).unwrap();
        assert_eq!(of(&a), digester.digest(&a).unwrap());
        assert_ne!(of(&a), of(&b));
    }
    let none = Digester::<Inner>::none().map(|sealed: &Sealed| &sealed.0);
    assert_eq!(none.digest(&Sealed(a)).unwrap(), None);
}

// Writes that are refused -------------------------------------------------------------------------

/// JSON by way of a map with sorted keys.
#[derive(Clone, Copy, Debug)]
struct Sorted;

impl<S: Serialize + DeserializeOwned + 'static> Codec<S> for Sorted {
    fn id(&self) -> CodecId {
        CodecId::custom(3)
    }
    fn is_self_describing(&self) -> bool {
        true
    }
    fn inspect(&self, _: &[S]) -> Result<TypeInfo, Error> {
        Ok(TypeInfo::default())
    }
    fn digester(&self) -> Digester<S> {
        Digester::serde()
    }
    fn encode(&self, state: &S, out: &mut Vec<u8>) -> Result<(), BoxError> {
        let mut value = serde_json::to_value(state)?;
        value.sort_all_objects();
        if let Some(list) = value.get_mut("list").and_then(|list| list.as_array_mut()) {
            list.sort_by_key(serde_json::Value::as_i64);
        }
        Ok(serde_json::to_writer(out, &value)?)
    }
    fn decode(&self, bytes: &[u8], _: DecodeLimits) -> Result<S, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[tokio::test]
async fn a_codec_that_loses_the_order_is_refused_where_the_order_is_known_to_count() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Queue {
        list: Vec<i64>,
        seen: HashSet<i64>,
    }
    aggregate!(Queue, Self::default(), |state, event| {
        state.list.push(event);
        state.seen.insert(event);
    });
    exact::<Queue>(Sorted, &[1, 2, 3]).await;
    let text = refused::<Queue>(Sorted, &[3, 1, 2]).await;
    assert!(text.contains("(look at list[0])"), "{text}");
    exact::<Queue>(Postcard, &[3, 1, 2]).await;
}

fn seven() -> i64 {
    7
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_seven(number: &i64) -> bool {
    *number == 7
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cart {
    #[serde(default = "seven", skip_serializing_if = "is_seven")]
    vat: i64,
    open: Vec<i64>,
}
aggregate!(Cart, Cart { vat: 1, open: vec![] }, |state, event| {
    state.vat = event;
    state.open.push(0);
});

#[tokio::test]
async fn a_field_left_out_on_a_condition_nobody_guessed_is_refused_by_name_where_it_is_left_out() {
    exact::<Cart>(Postcard, &[19]).await;
    let text = refused::<Cart>(Postcard, &[7]).await;
    assert!(text.contains("(look at vat)"), "{text}");
    assert!(text.contains("use the MessagePack codec, which can represent this state"), "{text}");
    assert!(refused::<Cart>(Bincode, &[7]).await.contains("(look at vat)"));
    exact::<Cart>(MessagePack, &[7]).await;
    exact::<Cart>(Json, &[7]).await;
}

#[tokio::test]
async fn what_a_format_with_a_null_cannot_hold_is_refused_with_its_path() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Nested {
        lots: BTreeMap<i64, Lot>,
    }
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    #[allow(clippy::option_option, reason = "that is the point")]
    struct Lot {
        price: Option<Option<u8>>,
    }
    aggregate!(Nested, Self::default(), |state, event| {
        state.lots.insert(event, Lot { price: (event % 2 == 0).then_some(None) });
    });
    for text in
        [refused::<Nested>(MessagePack, &[1, 2]).await, refused::<Nested>(Json, &[1, 2]).await]
    {
        assert!(text.contains("(look at lots{}.price)"), "{text}");
        assert!(text.contains("use the Postcard codec, which can represent this state"), "{text}");
    }
    exact::<Nested>(MessagePack, &[1, 3]).await;
    exact::<Nested>(Postcard, &[1, 2]).await;
}

#[tokio::test]
async fn what_cannot_be_read_back_is_refused_with_its_path() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Readings {
        by_day: Vec<Day>,
    }
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Day {
        mean: f64,
    }
    aggregate!(Readings, Self::default(), |state, event| {
        let mean = if event < 0 { f64::NAN } else { 0.5 };
        state.by_day.push(Day { mean });
    });
    let text = refused::<Readings>(Json, &[1, -1]).await;
    assert!(text.contains("(look at by_day[1].mean)"), "{text}");
    assert!(text.contains("use the Postcard codec, which can represent this state"), "{text}");
}

#[tokio::test]
async fn the_applications_own_equality_sees_what_serde_is_not_told() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Half {
        sum: i64,
        #[serde(skip)]
        largest: i64,
    }
    aggregate!(Half, Self::default(), |state, event| {
        state.sum += event;
        state.largest = state.largest.max(event);
    });
    let (events, store) = (history(&[3]), MemoryStore::new());
    let engine = builder::<Half>(&events, &store, Postcard).compare(|a, b| a == b).build().unwrap();
    let error = engine.create(&key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("compare()"), "{error}");
    // Serde is not told of it, so no codec carries it.
    assert!(!error.to_string().contains("can represent"), "{error}");
    assert!(engine.snapshots(&key(), 0..=9).await.unwrap().is_empty());
}

// JSON --------------------------------------------------------------------------------------------

#[tokio::test]
async fn floats_of_json_come_back_bit_for_bit() {
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Meter {
        readings: Vec<f64>,
        small: Vec<f32>,
    }
    aggregate!(Meter, Self::default(), |state, seed| {
        let mut rng = fastrand::Rng::with_seed(seed.cast_unsigned());
        for _ in 0..2_000 {
            let float = f64::from_bits(rng.u64(..));
            let sum = f64::from(rng.u32(0..100_000)) / 1000.0 * 1.1;
            state.readings.extend([float, sum, -0.0].into_iter().filter(|float| float.is_finite()));
            let float = f32::from_bits(rng.u32(..));
            state.small.extend(Some(float).filter(|float| float.is_finite()));
        }
        state.readings.push(117.633_311_394_000_17);
    });
    exact::<Meter>(Json, &[1, 2, 3]).await;
}

#[tokio::test]
async fn json_keeps_the_order_of_entries_and_refuses_names_that_come_twice() {
    /// A map in the order of its entries.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Entries(Vec<(String, i64)>);
    impl Serialize for Entries {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
        }
    }
    impl<'de> Deserialize<'de> for Entries {
        fn deserialize<D: serde::Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Entries;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a map")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Entries, A::Error> {
                    let mut entries = Entries::default();
                    while let Some(entry) = map.next_entry()? {
                        entries.0.push(entry);
                    }
                    Ok(entries)
                }
            }
            decoder.deserialize_map(Visitor)
        }
    }
    aggregate!(Entries, Self::default(), |state, event| {
        state.0.push((format!("n{event}"), event));
    });
    exact::<Entries>(Json, &[3, 1, 2]).await;
    let (events, store) = (history(&[3, 1, 3]), MemoryStore::new());
    let engine = builder::<Entries>(&events, &store, Json).build().unwrap();
    let error = engine.create(&key()).await.unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("duplicate object member \"n3\""), "{error}: {cause}");

    let twice: Result<BTreeMap<String, u8>, _> = Json
        .decode(br#"{"a": {"b": 1, "b": 2}}"#, DecodeLimits::UNLIMITED)
        .map_err(|e| e.to_string());
    assert!(twice.unwrap_err().contains("duplicate object member \"b\""));
    let once: BTreeMap<String, u8> =
        Json.decode(br#"{"a":1,"b":2}"#, DecodeLimits::UNLIMITED).unwrap();
    assert_eq!(once.len(), 2);
}

// Depth -------------------------------------------------------------------------------------------

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct List {
    next: Option<Box<List>>,
}
aggregate!(List, Self::default(), |state, nodes| {
    for _ in 0..nodes {
        *state = List { next: Some(Box::new(std::mem::take(state))) };
    }
});

impl Drop for List {
    // A chain of boxes is otherwise dropped with recursion.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut list) = next {
            next = list.next.take();
        }
    }
}

#[test]
fn a_state_is_written_as_deep_as_it_is_read_and_no_deeper() {
    async fn with(codec: impl Codec<List> + Copy) {
        exact::<List>(codec, &[62]).await;
        let text = refused::<List>(codec, &[65]).await;
        assert!(text.contains("deeper than 128 levels: raise max_depth()"), "{text}");
        let (events, store) = (history(&[450]), MemoryStore::new());
        let deep = builder::<List>(&events, &store, codec).max_depth(u16::MAX).build().unwrap();
        deep.create(&key()).await.unwrap();
        let loaded = deep.load(&key()).await.unwrap();
        assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{}", loaded.provenance);
        // Such states would end the process if their encoding was only tried.
        let (events, store) = (history(&[100]), MemoryStore::new());
        let engine = builder::<List>(&events, &store, codec).max_depth(128).build().unwrap();
        assert_eq!(engine.create(&key()).await.unwrap_err().kind(), ErrorKind::Encode);
    }
    async fn with_all() {
        with(Postcard).await;
        with(Bincode).await;
        with(MessagePack).await;
        with(Json).await;
    }
    // The stack that `max_depth` asks for: 8 KiB for each of 1,024 levels.
    let run = || tokio::runtime::Runtime::new().unwrap().block_on(with_all());
    std::thread::Builder::new().stack_size(8 << 20).spawn(run).unwrap().join().unwrap();
}

// Another history ---------------------------------------------------------------------------------

#[tokio::test]
async fn a_lost_history_does_not_become_the_truth() {
    let (events, store) = (history(&[1; 10]), MemoryStore::new());
    let engine = builder::<Total>(&events, &store, Postcard).build().unwrap();
    engine.create(&key()).await.unwrap();
    // The event store is restored from a backup and goes on otherwise, in the same seconds.
    let events = history(&[1, 1, 1, 1, 1, 7, 7, 7, 7, 7]);
    let engine = builder::<Total>(&events, &store, Postcard).build().unwrap();
    let base = engine.create_with(&key(), CreateOptions::new().at_version(5)).await;
    base.unwrap();
    // No anchors and the same times: nothing but the fold itself tells.
    let repaired = engine.rebuild(&key(), 10).await.unwrap();
    assert!(repaired.replaced);
    assert_eq!(engine.load(&key()).await.unwrap().state.sum, 40);
}

#[tokio::test]
async fn a_snapshot_of_another_history_in_the_way_is_a_conflict_until_it_is_repaired() {
    let store = MemoryStore::new();
    let at = |seconds: i64, amount: i64, upto: i64| {
        let events = MemoryEvents::new();
        for n in 1..=10 {
            let (second, amount) = if n <= upto { (n, 1) } else { (n + seconds, amount) };
            events.append(&key(), Timestamp::from_seconds(second), amount);
        }
        events
    };
    let old = builder::<Total>(&at(0, 1, 10), &store, Postcard).build().unwrap();
    old.create(&key()).await.unwrap();
    let events = at(100, 7, 5);
    let engine = builder::<Total>(&events, &store, Postcard).build().unwrap();
    let error = engine.create(&key()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("rebuild()"), "{error}");
    let many = engine.create_many(&[key()]).await;
    assert_eq!(many[0].as_ref().unwrap_err().kind(), ErrorKind::Conflict);

    engine.rebuild(&key(), 10).await.unwrap();
    assert!(matches!(
        engine.create(&key()).await,
        Ok(CreateOutcome::Existing { identical: true, .. })
    ));
    events.truncate_below(&key(), 10);
    let loaded = engine.load(&key()).await.unwrap();
    assert_eq!(loaded.state.sum, 40);
    let used = loaded.provenance.snapshot.unwrap();
    assert!(!used.is_compared, "its last event is gone");
    assert!(loaded.provenance.to_string().contains("not compared"), "{}", loaded.provenance);
}

#[tokio::test]
async fn a_background_snapshot_replaces_one_of_another_history_unless_it_is_pinned() {
    for pinned in [false, true] {
        let store = MemoryStore::new();
        let old = builder::<Total>(&history(&[1; 3]), &store, Postcard).build().unwrap();
        let options = CreateOptions::new();
        let options = options.label("kept");
        let options = if pinned { options.pin("audit") } else { options };
        old.create_with(&key(), options).await.unwrap();

        let events = MemoryEvents::new();
        for n in 0..3 {
            events.append(&key(), Timestamp::from_seconds(100 + n), 7);
        }
        let engine = SnapshotEngine::<Total>::builder(events.clone(), store.clone())
            .trigger(snapfold::trigger::every_events(1))
            .build()
            .unwrap();
        let loaded = engine.load(&key()).await.unwrap();
        assert_eq!(loaded.state.sum, 21);
        assert!(engine.committed(&loaded, 3).is_queued());
        engine.flush(std::time::Duration::from_secs(60)).await.unwrap();
        let stored = engine.latest_snapshot(&key()).await.unwrap().usable().unwrap();
        assert_eq!(stored.state.sum, if pinned { 3 } else { 21 });
        assert_eq!(stored.meta.labels, ["kept"]);
    }
}
