//! No query is valid for anything but what was signed.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::{UploadGrant, UploadKeys, UploadUrlVerdict, UploadUrls};
use crate::artifact::ArtifactId;
use crate::clock::ManualClock;
use crate::error::ErrorKind;
use crate::little_endian::LittleEndianReader;
use crate::record::SigningKeys;
use crate::timestamp::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

fn urls() -> (UploadUrls, ManualClock) {
    let clock = ManualClock::at(NOW);
    let keys = UploadKeys::new("a", [1; 32]).unwrap();
    (UploadUrls::new(keys, Arc::new(clock.clone())), clock)
}

/// Everything that is signed.
#[derive(Clone, Debug, PartialEq)]
struct Fields {
    texts: [String; 4],
    expires: u64,
    key_id: String,
    size: Option<u64>,
    sha256: Option<[u8; 32]>,
    content_type: Option<String>,
}

impl Fields {
    fn grant(&self) -> UploadGrant<'_> {
        let [method, project, publication, name] = &self.texts;
        UploadGrant {
            method,
            project,
            publication,
            name,
            size: self.size,
            sha256: self.sha256.map(ArtifactId::from_bytes),
            content_type: self.content_type.as_deref(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.grant().to_signed_bytes(self.expires, &self.key_id).unwrap()
    }

    /// Reads back what [`bytes`](Self::bytes) wrote.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = LittleEndianReader(bytes.strip_prefix(b"snapfold upload URL v1\n")?);
        let text = |reader: &mut LittleEndianReader<'_>| {
            let len = usize::try_from(reader.u64()?).ok()?;
            Some(reader.text(len)?.to_owned())
        };
        let mut next = || text(&mut reader);
        let texts = [next()?, next()?, next()?, next()?];
        let (expires, key_id) = (reader.u64()?, text(&mut reader)?);
        let is_some = |reader: &mut LittleEndianReader<'_>| Some(reader.u8()? == 1);
        let size = if is_some(&mut reader)? { Some(reader.u64()?) } else { None };
        let sha256 = if is_some(&mut reader)? { Some(reader.array()?) } else { None };
        let content_type = if is_some(&mut reader)? { Some(text(&mut reader)?) } else { None };
        let fields = Self { texts, expires, key_id, size, sha256, content_type };
        reader.0.is_empty().then_some(fields)
    }
}

/// Short texts that share characters, among them those that separate things elsewhere.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a/&=?%. \n\u{0}1\u{e9}]{0,6}", any::<String>().prop_map(|s| cut(s, 32))]
}

fn cut(mut text: String, bytes: usize) -> String {
    while text.len() > bytes {
        text.pop();
    }
    text
}

fn fields() -> impl Strategy<Value = Fields> {
    let declared = (any::<Option<u64>>(), any::<Option<[u8; 32]>>(), proptest::option::of(text()));
    let texts = [text(), text(), text(), text()];
    (texts, any::<u64>(), text(), declared).prop_map(
        |(texts, expires, key_id, (size, sha256, content_type))| Fields {
            texts,
            expires,
            key_id,
            size,
            sha256,
            content_type,
        },
    )
}

/// The fields with one of them changed.
fn changed(fields: &Fields, which: usize, other: &Fields) -> Fields {
    let mut changed = fields.clone();
    match which {
        0..4 => changed.texts[which] = other.texts[which].clone(),
        4 => changed.size = other.size,
        5 => changed.sha256 = other.sha256,
        6 => changed.content_type.clone_from(&other.content_type),
        // A character moves from one name to the next.
        7 => {
            let moved = changed.texts[1].pop();
            changed.texts[2].insert_str(0, &moved.map(String::from).unwrap_or_default());
        }
        _ => changed.texts.swap(2, 3),
    }
    changed
}

proptest! {
    #[test]
    fn the_signed_bytes_say_all_fields_and_nothing_else(fields in fields()) {
        let bytes = fields.bytes();
        prop_assert_eq!(Fields::parse(&bytes), Some(fields));
    }

    #[test]
    fn two_grants_have_different_bytes(a in fields(), which in 0_usize..9, other in fields()) {
        let b = changed(&a, which, &other);
        prop_assert_eq!(a.bytes() == b.bytes(), a == b);
        prop_assert_eq!(a.bytes() == other.bytes(), a == other);
    }

    #[test]
    fn a_query_is_valid_for_what_was_signed_only(
        signed in fields(),
        which in 0_usize..9,
        other in fields(),
    ) {
        let (urls, _) = urls();
        let query = urls.sign(&signed.grant(), MINUTE).unwrap().text;
        prop_assert_eq!(urls.verify(&signed.grant(), &query), UploadUrlVerdict::Valid);
        let asked = changed(&signed, which, &other);
        let is_same = asked.grant() == signed.grant();
        let verdict = urls.verify(&asked.grant(), &query);
        prop_assert_eq!(verdict == UploadUrlVerdict::Valid, is_same);
        prop_assert_eq!(verdict == UploadUrlVerdict::Wrong, !is_same);
    }

    #[test]
    fn no_query_panics_or_is_valid_by_chance(query in prop_oneof![
        any::<String>(),
        "exp=[0-9+-]{0,22}&kid=[a&=]{0,3}&sig=[A-Za-z0-9_=-]{0,45}",
    ]) {
        let (urls, _) = urls();
        let grant = UploadGrant::new("p", "1", "n");
        prop_assert_eq!(urls.verify(&grant, &query), UploadUrlVerdict::Wrong);
    }
}

#[test]
fn any_change_of_a_query_makes_it_wrong() {
    let (urls, clock) = urls();
    let grant = UploadGrant::new("p", "1", "n");
    let query = urls.sign(&grant, MINUTE).unwrap().text;
    for at in 0..query.len() {
        for byte in b' '..=b'~' {
            let mut other = query.clone().into_bytes();
            if std::mem::replace(&mut other[at], byte) != byte {
                let other = String::from_utf8(other).unwrap();
                assert_eq!(urls.verify(&grant, &other), UploadUrlVerdict::Wrong, "{other}");
            }
        }
        assert_eq!(urls.verify(&grant, &query[..at]), UploadUrlVerdict::Wrong);
        assert_eq!(urls.verify(&grant, &query[at + 1..]), UploadUrlVerdict::Wrong);
    }
    let (exp, rest) = query.split_once('&').unwrap();
    let (kid, sig) = rest.split_once('&').unwrap();
    for other in [
        format!("?{query}"),
        format!("{query}="),
        format!("{query}&x=1"),
        format!("{query}&{query}"),
        format!("{kid}&{exp}&{sig}"),
        query.replace("exp=", "exp=0"),
        query.replace("exp=", "exp=+"),
        query.replace("exp=", "exp=18446744073709551616"),
        query.replace("kid=a", "kid=b"),
        query.replace("kid=a", &format!("kid={}", "a".repeat(1 << 20))),
    ] {
        assert_eq!(urls.verify(&grant, &other), UploadUrlVerdict::Wrong, "{other:.200}");
    }
    // Also when it has expired: nobody learns more from a query that was changed.
    clock.advance(2 * MINUTE);
    assert_eq!(urls.verify(&grant, &query), UploadUrlVerdict::Expired);
    let later = query.replacen("exp=1", "exp=2", 1);
    assert_eq!(urls.verify(&grant, &later), UploadUrlVerdict::Wrong);
}

/// The signature was computed with Python's `hmac`, from the bytes that the code describes.
#[test]
fn the_signature_is_the_documented_one() {
    let (urls, _) = urls();
    let grant = UploadGrant::new("north", "7", "\u{e9}/1").size(6).content_type("image/png");
    let query = urls.sign(&grant, MINUTE).unwrap();
    assert_eq!(query.text, "exp=1000060&kid=a&sig=-HzhaTSEb2JHivUwuwJlasHYj2pUiB0Z4TwOnPP3FEU");
    assert_eq!(query.expires_at, Timestamp::from_seconds(1_000_060));
    assert!(!format!("{query:?}").contains("sig"), "{query:?}");
}

#[test]
fn a_grant_is_valid_up_to_and_including_the_second_at_which_it_expires() {
    let clock = ManualClock::at(Timestamp::from_micros(1_999_999));
    let keys = UploadKeys::new("a", [1; 32]).unwrap();
    let urls = UploadUrls::new(keys, Arc::new(clock.clone()));
    let grant = UploadGrant::new("", "", "");
    let query = urls.sign(&grant, Duration::from_secs(5)).unwrap();
    assert_eq!(query.expires_at, Timestamp::from_seconds(6), "not longer than it was asked to be");
    for (micros, verdict) in [
        (0, UploadUrlVerdict::Valid),
        (6_000_000, UploadUrlVerdict::Valid),
        (6_000_001, UploadUrlVerdict::Expired),
        (i64::MAX, UploadUrlVerdict::Expired),
    ] {
        let clock = ManualClock::at(Timestamp::from_micros(micros));
        let keys = UploadKeys::new("a", [1; 32]).unwrap();
        let urls = UploadUrls::new(keys, Arc::new(clock));
        assert_eq!(urls.verify(&grant, &query.text), verdict, "{micros}");
    }
    for clock in [Timestamp::MIN, Timestamp::MAX] {
        let keys = UploadKeys::new("a", [1; 32]).unwrap();
        let urls = UploadUrls::new(keys, Arc::new(ManualClock::at(clock)));
        let query = urls.sign(&grant, MINUTE).unwrap();
        assert_ne!(urls.verify(&grant, &query.text), UploadUrlVerdict::Wrong);
    }
    for seconds in [0, 8 * 24 * 60 * 60] {
        let error = urls.sign(&grant, Duration::from_secs(seconds)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn texts_beyond_their_limits_are_not_signed_and_not_valid() {
    let (urls, _) = urls();
    let (name, more) = ("n".repeat(1_024), "n".repeat(1_025));
    let (method, content_type) = ("M".repeat(33), "t".repeat(256));
    let longest = UploadGrant::new(&name, &name, &name).method(&method[1..]);
    let longest = longest.content_type(&content_type[1..]);
    let query = urls.sign(&longest, MINUTE).unwrap().text;
    assert_eq!(urls.verify(&longest, &query), UploadUrlVerdict::Valid);
    for grant in [
        UploadGrant::new(&more, "1", "n"),
        UploadGrant::new("p", &more, "n"),
        UploadGrant::new("p", "1", &more),
        UploadGrant::new("p", "1", "n").method(&method),
        UploadGrant::new("p", "1", "n").content_type(&content_type),
    ] {
        assert_eq!(urls.sign(&grant, MINUTE).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(urls.verify(&grant, &query), UploadUrlVerdict::Wrong);
    }
}

#[test]
fn keys_rotate_while_urls_of_older_ones_are_valid() {
    let (urls, clock) = urls();
    let grant = UploadGrant::new("p", "1", "n");
    let old = urls.sign(&grant, 10 * MINUTE).unwrap().text;
    let keys = UploadKeys::new("a", [1; 32]).unwrap().add("b", [2; 32]).unwrap();
    urls.set_keys(keys.clone());
    let new = urls.sign(&grant, 10 * MINUTE).unwrap().text;
    assert!(new.contains("&kid=b&"), "{new}");
    for query in [&old, &new] {
        assert_eq!(urls.verify(&grant, query), UploadUrlVerdict::Valid);
    }
    let retired_at = NOW.saturating_add(MINUTE);
    urls.set_keys(keys.clone().retire("a", retired_at).unwrap());
    clock.advance(MINUTE);
    assert_eq!(urls.verify(&grant, &old), UploadUrlVerdict::Valid);
    clock.advance(Duration::from_micros(1));
    assert_eq!(urls.verify(&grant, &old), UploadUrlVerdict::Expired);
    assert_eq!(urls.verify(&grant, &new), UploadUrlVerdict::Valid);
    // Under the same id, another secret.
    urls.set_keys(UploadKeys::new("b", [3; 32]).unwrap());
    for query in [&old, &new] {
        assert_eq!(urls.verify(&grant, query), UploadUrlVerdict::Wrong);
    }
    for error in [
        keys.clone().retire("b", NOW).unwrap_err(),
        keys.clone().retire("c", NOW).unwrap_err(),
        keys.clone().add("a", [9; 32]).unwrap_err(),
        keys.clone().add("b", [9; 32]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    for id in ["", "a b", "a&b", "\u{e9}", "%41", &"k".repeat(SigningKeys::MAX_KEY_ID_BYTES + 1)] {
        assert_eq!(UploadKeys::new(id, [9; 32]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let mut many = keys.clone();
    for number in 2..UploadKeys::MAX_KEYS {
        many = many.add(format!("k{number}"), [9; 32]).unwrap();
    }
    assert_eq!(many.clone().add("more", [9; 32]).unwrap_err().kind(), ErrorKind::InvalidInput);
    let shown = format!("{many:?} {urls:?}");
    assert!(shown.contains("\"k15\"") && !shown.contains("9, 9"), "{shown}");
}
