//! Signatures in audit trails, which somebody else can write anew, hash chain included.
//!
//! Guards against: a change before a signature that is not found; a trail that was changed and is
//! signed all the same; a signature on every run of a quiet trail.

use snapfold::ledger::{
    AuditEntry, AuditHash, AuditHead, AuditRecord, AuditRequest, Ledger, SignedHead, SignedTrail,
    StoreLedger, TrailCheck,
};
use snapfold::record::SigningKeys;
use snapfold::{ErrorKind, MemoryStore, Timestamp};

use crate::support::key;

fn keys() -> SigningKeys {
    SigningKeys::new("k1", [1; 32]).unwrap()
}

fn ledger() -> StoreLedger {
    StoreLedger::new(MemoryStore::new())
}

fn now() -> Timestamp {
    Timestamp::from_seconds(1_000)
}

fn entry(n: u64) -> AuditEntry {
    let entry = AuditEntry::new(now(), "bob", "delete").reason(format!("reason {n}"));
    if n.is_multiple_of(2) { entry.about(key("a")).version(n) } else { entry }
}

async fn append(ledger: &StoreLedger, entries: std::ops::RangeInclusive<u64>) {
    let entries: Vec<_> = entries.map(entry).collect();
    ledger.append_all(&entries).await.unwrap();
}

async fn entries(ledger: &StoreLedger) -> Vec<AuditEntry> {
    let page = ledger.entries(AuditRequest::new().limit(10_000)).await.unwrap();
    page.items.into_iter().map(|record: AuditRecord| record.entry).collect()
}

/// A ledger with these entries, and with a hash chain that is right for them.
async fn written_anew(entries: &[AuditEntry]) -> StoreLedger {
    let ledger = ledger();
    ledger.append_all(entries).await.unwrap();
    let chain = ledger.check_trail("", AuditHead::START).await.unwrap();
    assert!(matches!(chain, TrailCheck::Whole(_)), "{chain:?}");
    ledger
}

/// What a check from the beginning finds.
async fn check(ledger: &StoreLedger) -> Result<(u64, Option<u64>, u64), (u64, &'static str)> {
    match keys().check_trail(ledger, "", AuditHead::START).await.unwrap() {
        SignedTrail::Whole { head, signed, unsigned, .. } => {
            Ok((head.sequence, signed.map(|signed| signed.head.sequence), unsigned))
        }
        SignedTrail::Broken { sequence, reason, .. } => Err((sequence, reason)),
        other => panic!("{other:?}"),
    }
}

async fn sign(ledger: &StoreLedger) -> Option<SignedHead> {
    keys().sign_trail(ledger, "", now(), "node-7").await.unwrap()
}

/// Entries 1 to 5, a signature, entries 7 to 11, a signature, entries 13 and 14.
async fn signed_twice() -> (StoreLedger, AuditHead) {
    let ledger = ledger();
    append(&ledger, 1..=5).await;
    assert_eq!(sign(&ledger).await.unwrap().head.sequence, 5);
    append(&ledger, 6..=10).await;
    let last = sign(&ledger).await.unwrap();
    append(&ledger, 11..=12).await;
    assert_eq!(check(&ledger).await, Ok((14, Some(11), 2)));
    (ledger, last.head)
}

#[tokio::test]
async fn each_edit_before_the_last_signature_is_found_though_the_chain_is_right() {
    let (ledger, _) = signed_twice().await;
    let original = entries(&ledger).await;
    let mut found = 0;
    for at in 0..original.len() {
        let mut edits = Vec::new();
        let mut edit = |change: &dyn Fn(&mut Vec<AuditEntry>)| {
            let mut edited = original.clone();
            change(&mut edited);
            edits.push(edited);
        };
        edit(&|all| all[at].actor = "eve".into());
        edit(&|all| all[at].reason = "no reason".into());
        edit(&|all| all[at].at = Timestamp::MIN);
        edit(&|all| all[at].outcome = snapfold::ledger::AuditOutcome::failed("Store", ""));
        edit(&|all| all[at].meta.push('0'));
        edit(&|all| all[at].action = "sign".into());
        edit(&|all| drop(all.remove(at)));
        edit(&|all| all.insert(at, entry(99)));
        edit(&|all| all.insert(at, original[5].clone()));
        if at + 1 < original.len() {
            edit(&|all| all.swap(at, at + 1));
        }
        for (number, edited) in edits.iter().enumerate() {
            if *edited == original {
                continue;
            }
            let checked = check(&written_anew(edited).await).await;
            // The last signature covers the first 11 entries, and stands in the twelfth.
            if at < 11 {
                assert!(checked.is_err(), "edit {number} of entry {}: {checked:?}", at + 1);
                found += 1;
            } else if let Ok((_, signed, unsigned)) = checked {
                assert!(signed == Some(11) && unsigned >= 1 || signed == Some(5), "{checked:?}");
            }
        }
    }
    assert!(found > 90, "{found}");
    assert_eq!(check(&written_anew(&original).await).await, Ok((14, Some(11), 2)));
}

#[tokio::test]
async fn the_reason_names_the_wrong_entry() {
    let (ledger, _) = signed_twice().await;
    let original = entries(&ledger).await;
    let with = async |change: &dyn Fn(&mut Vec<AuditEntry>)| {
        let mut edited = original.clone();
        change(&mut edited);
        check(&written_anew(&edited).await).await.unwrap_err()
    };
    let other = "the entries that it signs are not those of the trail";
    assert_eq!(with(&|all| all[2].actor = "eve".into()).await, (6, other));
    assert_eq!(with(&|all| all[7].actor = "eve".into()).await, (12, other));
    assert_eq!(with(&|all| drop(all.remove(5))).await.0, 11, "the second, one entry earlier");
    let unreadable = "its signature cannot be read";
    assert_eq!(with(&|all| all[5].meta.push('\n')).await, (6, unreadable));
    let early = "it signs an entry that comes after it";
    assert_eq!(with(&|all| all.insert(0, original[11].clone())).await, (1, early));

    let head = AuditHead { sequence: 1, hash: AuditHash::START };
    let theirs = SigningKeys::new("k1", [9; 32]).unwrap().sign_head("", head);
    let forged = theirs.to_entry("", now(), "eve");
    let bad = "its signature does not match";
    assert_eq!(with(&|all| all.push(forged.clone())).await, (15, bad));
    let theirs = SigningKeys::new("k9", [1; 32]).unwrap().sign_head("", head);
    let forged = theirs.to_entry("", now(), "eve");
    let unknown = "it is signed with a key that was not given";
    assert_eq!(with(&|all| all.push(forged.clone())).await, (15, unknown));
    // A head of another tenant's trail.
    let theirs = keys().sign_head("north", head).to_entry("", now(), "eve");
    assert_eq!(with(&|all| all.push(theirs.clone())).await, (15, bad));
    // An application may use the word for something else.
    let own = AuditEntry::new(now(), "ada", "sign").meta("{\"contract\": 7}");
    append(&ledger, 13..=13).await;
    ledger.append(&own).await.unwrap();
    assert_eq!(check(&ledger).await, Ok((16, Some(11), 4)));
}

/// What a signature in the trail cannot show, a head that was kept elsewhere does.
#[tokio::test]
async fn an_end_that_is_missing_is_found_with_a_head_from_elsewhere() {
    let (ledger, kept) = signed_twice().await;
    let original = entries(&ledger).await;
    assert_eq!(check(&written_anew(&original[..6]).await).await, Ok((6, Some(5), 0)));
    let bare: Vec<_> = original.iter().filter(|it| it.action != "sign").cloned().collect();
    assert_eq!(check(&written_anew(&bare).await).await, Ok((12, None, 12)));
    for all in [&original[..6], &original[..10], &bare] {
        let ledger = written_anew(all).await;
        let broken = keys().check_trail(&ledger, "", kept).await.unwrap();
        assert!(matches!(broken, SignedTrail::Broken { sequence: 11, .. }), "{broken:?}");
    }
    // From there on, the signature in the next entry still counts.
    let whole = keys().check_trail(&ledger, "", kept).await.unwrap();
    let SignedTrail::Whole { head, signed, unsigned, .. } = whole else { panic!("{whole:?}") };
    assert_eq!((head.sequence, signed.unwrap().head, unsigned), (14, kept, 2));
}

#[tokio::test]
async fn a_trail_is_signed_when_it_has_new_entries_and_is_whole() {
    let ledger = ledger();
    assert_eq!(sign(&ledger).await, None);
    append(&ledger, 1..=1).await;
    let first = sign(&ledger).await.unwrap();
    keys().verify_head("", &first).unwrap();
    assert_eq!((first.head.sequence, &*first.key_id), (1, "k1"));
    assert_eq!(sign(&ledger).await, None);
    assert_eq!(check(&ledger).await, Ok((2, Some(1), 0)));
    let line = &entries(&ledger).await[1].meta;
    assert_eq!(line.parse::<SignedHead>().unwrap(), first);

    // More entries than are read at once in the search for the last signature.
    append(&ledger, 3..=1_500).await;
    assert_eq!(sign(&ledger).await.unwrap().head.sequence, 1_500);
    assert_eq!(sign(&ledger).await, None);
    // A rotated key signs on.
    let rotated = SigningKeys::new("k2", [2; 32]).unwrap();
    append(&ledger, 1_502..=1_502).await;
    let error = rotated.sign_trail(&ledger, "", now(), "node-7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptStore);
    assert!(error.to_string().contains("entry 1501"), "{error}");
    let rotated = rotated.also("k1", [1; 32]).unwrap();
    let signed = rotated.sign_trail(&ledger, "", now(), "node-7").await.unwrap().unwrap();
    assert_eq!((signed.head.sequence, &*signed.key_id), (1_502, "k2"));

    // A trail that was changed is not signed.
    let mut edited = entries(&ledger).await;
    edited[700].actor = "eve".into();
    edited.push(entry(9));
    let edited = written_anew(&edited).await;
    let error = rotated.sign_trail(&edited, "", now(), "node-7").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
    // Trails of other tenants are others.
    assert_eq!(keys().sign_trail(&ledger, "north", now(), "").await.unwrap(), None);
}
