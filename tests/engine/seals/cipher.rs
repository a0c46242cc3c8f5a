//! A real cipher: XChaCha20-Poly1305.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305};
use snapfold::codec::{Compression, Seal, SealContext, Sealed};
use snapfold::engine::Incremental;
use snapfold::manager::{CreateOptions, Origin};
use snapfold::record::{Record, RejectReason};
use snapfold::{AggregateKey, BoxError};

use super::{SECRET, contains, note, origin, records};
use crate::record_bytes::{Field, RecordBytes, with};
use crate::support::{World, key};

/// One key for each aggregate, so that each can be erased by itself.
#[derive(Clone, Default)]
struct KeyPerAggregate {
    keys: Arc<Mutex<HashMap<String, XChaCha20Poly1305>>>,
    /// Random in an application. Here the tests stay the same.
    nonces: Arc<AtomicU64>,
}

impl KeyPerAggregate {
    fn give(&self, key: &AggregateKey, byte: u8) {
        let cipher = XChaCha20Poly1305::new(&Key::from([byte; 32]));
        self.keys.lock().unwrap().insert(key.id().to_owned(), cipher);
    }

    fn erase(&self, key: &AggregateKey) {
        self.keys.lock().unwrap().remove(key.id());
    }
}

impl Seal for KeyPerAggregate {
    fn seal(&self, of: SealContext<'_>, payload: &[u8]) -> Result<Sealed, BoxError> {
        let keys = self.keys.lock().unwrap();
        let cipher = keys.get(of.key.id()).ok_or("the aggregate has no key")?;
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.nonces.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let payload = Payload { msg: payload, aad: &of.to_bytes() };
        let bytes = cipher.encrypt(&nonce.into(), payload).map_err(|e| e.to_string())?;
        Ok(Sealed::new(of.key.id(), [&nonce[..], &bytes].concat()))
    }

    fn open(
        &self,
        of: SealContext<'_>,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, BoxError> {
        let keys = self.keys.lock().unwrap();
        let Some(cipher) = keys.get(key_id) else { return Ok(None) };
        let (nonce, bytes) = sealed.split_first_chunk::<24>().ok_or("the nonce is missing")?;
        let payload = Payload { msg: bytes, aad: &of.to_bytes() };
        let opened = cipher.decrypt(&(*nonce).into(), payload).map_err(|e| e.to_string())?;
        Ok(Some(opened))
    }
}

impl fmt::Debug for KeyPerAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPerAggregate")
    }
}

fn world(seal: &KeyPerAggregate) -> World {
    World::with(|builder| {
        let how = Incremental::lz4().min_bytes(1).max_percent(u8::MAX);
        builder.compression(Compression::none()).incremental(how).seal(seal.clone())
    })
}

#[tokio::test]
async fn a_real_cipher_seals_states_and_deltas_and_erases_by_key() {
    let seal = KeyPerAggregate::default();
    let world = world(&seal);
    let keys = [key("a"), key("b")];
    for (key, byte) in keys.iter().zip([1, 2]) {
        seal.give(key, byte);
        note(&world, key, 3);
        for version in 1..=3 {
            let options = CreateOptions::new().at_version(version);
            world.engine.create_with(key, options).await.unwrap();
        }
        let all = records(&world.store, key).await;
        assert_eq!(all.iter().filter(|it| it.header().unwrap().base.is_some()).count(), 2);
        for record in all {
            let header = record.verify().unwrap();
            assert_eq!(header.seal_key, Some(key.id()));
            assert!(!contains(&record, SECRET));
            if header.base.is_none() {
                assert_eq!(header.payload_bytes, header.raw_bytes + 24 + 16);
            }
        }
        assert_eq!(origin(&world, key).await, (Origin::Snapshot, vec![]));
    }
    seal.erase(&keys[0]);
    let missing = RejectReason::SealKey("a".into());
    assert_eq!(origin(&world, &keys[0]).await, (Origin::Replay, vec![missing; 3]));
    assert_eq!(origin(&world, &keys[1]).await, (Origin::Snapshot, vec![]));
    // A new key under the same id does not open what the old one sealed.
    seal.give(&keys[0], 3);
    let (from, reasons) = origin(&world, &keys[0]).await;
    assert_eq!((from, reasons.len()), (Origin::Replay, 3));
    assert!(reasons.iter().all(|reason| matches!(reason, RejectReason::Seal(_))), "{reasons:?}");
}

#[tokio::test]
async fn a_real_cipher_notices_what_was_changed_or_moved() {
    let seal = KeyPerAggregate::default();
    let world = world(&seal);
    let keys = [key("a"), key("b")];
    for key in &keys {
        seal.give(key, 9);
        note(&world, key, 1);
        world.engine.create(key).await.unwrap();
    }
    let record = world.store.record(&keys[0], 1).await;
    let whole = RecordBytes::of(record.as_bytes()).unwrap().get(Field::Payload).to_vec();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        let changed = with(record.as_bytes(), &[(Field::Payload, &changed)]);
        world.store.tamper(&keys[0], 1, Record::from_bytes(changed));
        let (from, reasons) = origin(&world, &keys[0]).await;
        assert_eq!(from, Origin::Replay, "byte {at}");
        assert!(matches!(reasons[..], [RejectReason::Seal(_)]), "byte {at}: {reasons:?}");
    }
    // Both keys are the same, so only the context tells the two apart.
    let other = world.store.record(&keys[1], 1).await;
    let moved = with(other.as_bytes(), &[(Field::Payload, &whole)]);
    world.store.tamper(&keys[1], 1, Record::from_bytes(moved));
    let (from, reasons) = origin(&world, &keys[1]).await;
    assert_eq!(from, Origin::Replay);
    assert!(matches!(reasons[..], [RejectReason::Seal(_)]), "{reasons:?}");
}
