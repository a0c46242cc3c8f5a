//! The aggregate that every library folds: an account with its last deposits.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    Opened { account_id: String, slots: u32 },
    Deposited { account_id: String, amount: i64, memo: String },
}

/// The count tells whether an event was applied twice, or not at all. The deposits give the state
/// its size: about 50 bytes each as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub account_id: String,
    pub slots: u32,
    pub balance: i64,
    pub count: u64,
    pub last: Vec<(i64, String)>,
}

impl Account {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Opened { account_id, slots } => self.open(account_id, *slots),
            Event::Deposited { amount, memo, .. } => self.deposit(*amount, memo),
        }
    }

    fn open(&mut self, account_id: &str, slots: u32) {
        account_id.clone_into(&mut self.account_id);
        self.slots = slots;
        self.count += 1;
    }

    fn deposit(&mut self, amount: i64, memo: &str) {
        deposit(&mut self.last, self.slots, self.count, amount, memo);
        self.balance += amount;
        self.count += 1;
    }
}

/// Puts a deposit in the place of the oldest one. Without an event that opens the account, nothing
/// is kept: a library may apply events in a wrong order.
pub fn deposit(last: &mut Vec<(i64, String)>, slots: u32, count: u64, amount: i64, memo: &str) {
    if last.len() < slots as usize {
        last.push((amount, memo.to_owned()));
    } else if slots > 0 {
        let slot = &mut last[(count % u64::from(slots)) as usize];
        slot.0 = amount;
        memo.clone_into(&mut slot.1);
    }
}

/// An aggregate of the benchmark. It has a snapshot at version `at`, and `tail` events after it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub id: String,
    pub slots: u32,
    pub at: u64,
    pub tail: u64,
}

impl Subject {
    pub fn new(id: &str, slots: u32, at: u64, tail: u64) -> Self {
        Self { id: id.to_owned(), slots, at, tail }
    }

    pub fn len(&self) -> u64 {
        self.at + self.tail
    }

    /// The event that leads to a version; the first version is 1.
    pub fn event(&self, version: u64) -> Event {
        let account_id = self.id.clone();
        if version == 1 {
            return Event::Opened { account_id, slots: self.slots };
        }
        let amount = (version.wrapping_mul(7_919) % 100_000) as i64 - 20_000;
        let memo =
            format!("invoice {:07}, paid by transfer", version.wrapping_mul(104_729) % 10_000_000);
        Event::Deposited { account_id, amount, memo }
    }

    pub fn events(&self, versions: std::ops::RangeInclusive<u64>) -> Vec<Event> {
        versions.map(|version| self.event(version)).collect()
    }

    /// What a load must return: the fold of the events up to a version.
    pub fn folded(&self, version: u64) -> Account {
        let mut account = Account::default();
        for version in 1..=version {
            account.apply(&self.event(version));
        }
        account
    }
}
