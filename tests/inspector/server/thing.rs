//! [`Thing`]: an aggregate that has what the page must show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use snapfold::{Aggregate, AggregateKey, BoxError, Timestamp};

#[derive(Clone)]
pub(crate) enum Change {
    Count(u64),
    Item(String),
    Member(String, String),
    Forget(String),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Thing {
    name: String,
    count: u64,
    ratio: f64,
    /// No browser can hold it in a number.
    large: u64,
    nothing: Option<bool>,
    items: Vec<String>,
    members: BTreeMap<String, String>,
    nested: Vec<BTreeMap<String, Vec<u64>>>,
}

impl Aggregate for Thing {
    type Event = Change;
    const KIND: &'static str = "thing";
    const SCHEMA_VERSION: u32 = 2;

    fn initial(key: &AggregateKey) -> Self {
        let nested = vec![BTreeMap::from([("primes".to_owned(), vec![2, 3, 5, 7])])];
        Self { name: key.id().to_owned(), large: u64::MAX, nested, ..Self::default() }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Count(by) => self.count += by,
            Change::Item(text) => self.items.push(text.clone()),
            Change::Member(name, text) => {
                self.members.insert(name.clone(), text.clone());
            }
            Change::Forget(name) => {
                self.members.remove(name);
            }
        }
        self.ratio = f64::from(u32::try_from(self.count).unwrap_or(u32::MAX)) / 4.0;
    }
}

/// How a thing was in an earlier release.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct OldThing {
    count: u64,
    items: Vec<String>,
}

impl Aggregate for OldThing {
    type Event = Change;
    const KIND: &'static str = Thing::KIND;
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self::default()
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Count(by) => self.count += by,
            Change::Item(text) => self.items.push(text.clone()),
            Change::Member(..) | Change::Forget(_) => {}
        }
    }
}

/// When an event was recorded. The later ones are further apart.
pub(crate) fn moment(n: u64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + (n * 3_600 + n * n / 7 * 60).cast_signed())
}

/// What a page that trusts its data would run, or show wrongly.
const HOSTILE: [(&str, &str); 9] = [
    ("<img src=x onerror=alert(1)>", "<img src=x onerror=\"globalThis.ran=1\">"),
    ("</script><script>globalThis.ran=1</script>", "</script><script>globalThis.ran=1</script>"),
    ("__proto__", "polluted"),
    ("constructor", "{\"prototype\":1}"),
    ("javascript:globalThis.ran=1", "${globalThis.ran=1}"),
    ("", "an empty name"),
    ("a/b~c", "a pointer must escape this"),
    ("\u{202e}txt.exe", "\u{202e}reversed\u{2066}\u{0}\u{7}\u{feff}"),
    ("\u{1f469}\u{200d}\u{1f680}", "\u{10ffff}\n\ttabs and lines\r\n"),
];

/// The aggregates and their events.
pub(crate) fn all() -> Result<Vec<(AggregateKey, Vec<Change>)>, BoxError> {
    let (item, count) = (|text: String| Change::Item(text), Change::Count);
    let member = |name: &str, text: &str| Change::Member(name.to_owned(), text.to_owned());
    let mut orders = Vec::new();
    for n in 0..48 {
        orders.push(match n % 4 {
            0 => item(format!("order {n}")),
            1 => member(&format!("customer {}", n % 11), &format!("paid {n} times")),
            2 => count(n),
            _ => Change::Forget(format!("customer {}", (n + 5) % 11)),
        });
    }
    let wide = (0..20_000).map(|n| member(&format!("member {n:05}"), "text"));
    let hostile =
        HOSTILE.iter().flat_map(|(name, text)| [member(name, text), item((*text).to_owned())]);
    let hostile_id = "<b onclick=alert(1)>\u{202e}\"'&#x26;/../~%2F";
    let mut all: Vec<(&str, Vec<Change>)> = vec![
        ("orders", orders),
        ("one event", vec![count(1)]),
        ("many events", (0..100_000).map(|n| count(n % 3)).collect()),
        ("damaged", (0..24).map(count).collect()),
        ("long text", vec![count(1), member("text", &"0123456789".repeat(1 << 20)), count(2)]),
        ("wide", wide.collect()),
        ("hostile", hostile.collect()),
        (hostile_id, vec![count(1), count(2)]),
        ("no snapshots", (0..5).map(count).collect()),
        ("doomed", (0..3).map(count).collect()),
    ];
    let others: Vec<String> = (0..70).map(|n| format!("other {n:02}")).collect();
    all.extend(others.iter().map(|id| (id.as_str(), vec![count(1)])));
    let key = |id: &str| AggregateKey::new(Thing::KIND, id);
    Ok(all
        .into_iter()
        .map(|(id, it)| Ok((key(id)?, it)))
        .collect::<Result<_, snapfold::Error>>()?)
}
