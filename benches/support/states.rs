//! Three aggregates: `Account` (about 130 B encoded), `Order` (about 4 KB), `Ledger` (about 120
//! KB, maps). `SLOW` makes applying an event cost about 200 ns instead of about 20 ns.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapfold::{Aggregate, AggregateKey};

/// A state of the benches: how it is called, how large it is, and its `i`-th event, which takes
/// about 23 bytes in the log.
pub trait BenchState:
    Aggregate<Event: Serialize + DeserializeOwned> + Serialize + DeserializeOwned
{
    const NAME: &'static str;
    /// How many bytes it takes when encoded.
    const ENCODED: RangeInclusive<u64>;
    fn event(i: u64) -> Self::Event;
}

/// What a handler does besides changing the state: validation, arithmetic, a log line.
fn handler_work<const SLOW: bool>(seed: u64, reference: &str) -> u64 {
    let rounds = if SLOW { 75 } else { 8 };
    (0..rounds).fold(seed ^ reference.len() as u64, |x, i| {
        black_box(x.rotate_left(5) ^ i).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub struct Account<const SLOW: bool> {
    holder: String,
    iban: String,
    email: String,
    address: String,
    currency: String,
    opened_on: String,
    balance: i64,
    reserved: i64,
    postings: u64,
    digest: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Posted {
    reference: String,
    amount: i64,
}

impl<const SLOW: bool> Aggregate for Account<SLOW> {
    type Event = Posted;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self {
            holder: "Wilhelmina van der Berg".into(),
            iban: "NL91ABNA0417164300".into(),
            email: "wilhelmina.vanderberg@example.org".into(),
            address: "Keizersgracht 455, 1017".into(),
            currency: "EUR".into(),
            opened_on: "2019-04-01".into(),
            balance: 0,
            reserved: 0,
            postings: 0,
            digest: 0,
        }
    }

    fn apply(&mut self, event: &Posted) {
        self.balance += event.amount;
        self.postings += 1;
        self.digest = handler_work::<SLOW>(self.digest, &event.reference);
    }
}

impl<const SLOW: bool> BenchState for Account<SLOW> {
    const NAME: &'static str = "account";
    const ENCODED: RangeInclusive<u64> = 120..=140;

    fn event(i: u64) -> Posted {
        Posted { reference: format!("PAY-2026-{i:011}"), amount: (i % 1_000) as i64 - 400 }
    }
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub struct Order<const SLOW: bool> {
    customer: String,
    lines: Vec<Line>,
    total_cents: i64,
    digest: u64,
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Line {
    sku: String,
    title: String,
    warehouse: String,
    quantity: u32,
    price_cents: i64,
    tax_rate: String,
}

#[derive(Serialize, Deserialize)]
pub struct LineChanged {
    reference: String,
    line: usize,
    quantity: u32,
}

impl<const SLOW: bool> Aggregate for Order<SLOW> {
    type Event = LineChanged;
    const KIND: &'static str = "order";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        let lines = (0..56_i64).map(|i| Line {
            sku: format!("SKU-{:06}-{:03}", i * 7_919 % 1_000_000, i * 31 % 1_000),
            title: format!(
                "{} {} No. {i}",
                ["Steel", "Copper", "Oak"][i as usize % 3],
                "bracket, galvanised"
            ),
            warehouse: format!("hall-{}/shelf-{}", i % 4, i * 13 % 97),
            quantity: 1,
            price_cents: 1_999 + i * 37,
            tax_rate: "19.0".into(),
        });
        Self { customer: "C-100384".into(), lines: lines.collect(), total_cents: 0, digest: 0 }
    }

    fn apply(&mut self, event: &LineChanged) {
        if let Some(line) = self.lines.get_mut(event.line) {
            let change = i64::from(event.quantity) - i64::from(line.quantity);
            self.total_cents += change * line.price_cents;
            line.quantity = event.quantity;
        }
        self.digest = handler_work::<SLOW>(self.digest, &event.reference);
    }
}

impl<const SLOW: bool> BenchState for Order<SLOW> {
    const NAME: &'static str = "order";
    const ENCODED: RangeInclusive<u64> = 3_600..=4_400;

    fn event(i: u64) -> LineChanged {
        let reference = format!("WEB-2026-{i:011}");
        LineChanged { reference, line: (i % 56) as usize, quantity: (i % 9) as u32 }
    }
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub struct Ledger<const SLOW: bool> {
    accounts: BTreeMap<String, Balance>,
    digest: u64,
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Balance {
    owner: String,
    city: String,
    iban: String,
    debit: i64,
    credit: i64,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
pub struct Booked {
    account: String,
    reference: String,
    amount: i64,
}

impl<const SLOW: bool> Aggregate for Ledger<SLOW> {
    type Event = Booked;
    const KIND: &'static str = "ledger";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        let accounts = (0..975_i64).map(|i| {
            let tags = [("region", "north"), ("segment", "retail"), ("risk", "low")]
                .map(|(k, v)| (k.to_owned(), format!("{v}-{}", i % 17)));
            let balance = Balance {
                owner: format!("Owner {} of {}", i * 7_919 % 100_003, "Sons & Daughters"),
                city: ["Rotterdam", "Antwerpen", "Gdansk", "Porto"][i as usize % 4].into(),
                iban: format!("DE{:020}", i * 1_299_709),
                debit: i * 1_000,
                credit: 0,
                tags: tags.into(),
            };
            (format!("{i:06}"), balance)
        });
        Self { accounts: accounts.collect(), digest: 0 }
    }

    fn apply(&mut self, event: &Booked) {
        if let Some(account) = self.accounts.get_mut(&event.account) {
            if event.amount < 0 {
                account.debit -= event.amount;
            } else {
                account.credit += event.amount;
            }
        }
        if SLOW {
            self.digest = handler_work::<SLOW>(self.digest, &event.reference);
        }
    }
}

impl<const SLOW: bool> BenchState for Ledger<SLOW> {
    const NAME: &'static str = "ledger";
    const ENCODED: RangeInclusive<u64> = 110_000..=130_000;

    fn event(i: u64) -> Booked {
        Booked {
            account: format!("{:06}", i % 975),
            reference: format!("J-{i:011}"),
            amount: (i % 1_000) as i64 - 400,
        }
    }
}
