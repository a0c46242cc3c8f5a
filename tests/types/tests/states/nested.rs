//! States as whole applications have them, and types that contain themselves.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc, Weekday};
use indexmap::IndexMap;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use snapfold_types::{Gen, Value, cases, state, states};
use uuid::Uuid;

state! {
    struct Tree { label: String, children: Vec<Tree> => |g| {
        let len = g.below(3);
        g.deeper(|g| g.times(len)).unwrap_or_default()
    } }
    struct Chain { n: u32, next: Option<Box<Chain>> => |g| g.deeper(|g| Box::new(g.any())) }
    enum Expr {
        Number(n: i64),
        Add { left: Option<Box<Expr>> => |g| g.deeper(|g| Box::new(g.any())), right: Option<Box<Expr>> => |g| g.deeper(|g| Box::new(g.any())) },
        Call(name: String, args: Vec<Expr> => |g| g.deeper(|g| g.times(2)).unwrap_or_default()),
    }
    #[serde(tag = "op")]
    enum TaggedExpr {
        Number { n: u32 },
        All { of: Vec<TaggedExpr> => |g| g.deeper(|g| g.times(2)).unwrap_or_default() },
    }
    struct Folder { files: BTreeMap<String, u64>, folders: BTreeMap<String, Folder> => |g| {
        g.deeper(|g| (0..g.len()).map(|_| (g.word(), g.any())).collect()).unwrap_or_default()
    } }
    struct Even { n: u8, odd: Option<Box<Odd>> => |g| g.deeper(|g| Box::new(g.any())) }
    struct Odd { text: String, even: Vec<Even> => |g| g.deeper(|g| g.times(1)).unwrap_or_default() }

    // A bank account.
    struct Account { id: Uuid, owner: Owner, balance: Money, status: Status, holds: BTreeMap<Uuid, Money> }
    struct Owner { name: String, born: NaiveDate, emails: Vec<String> }
    struct Money { cents: i64, currency: iso_currency::Currency }
    enum Status { Active { since: DateTime<Utc> }, Frozen { reason: String, until: Option<DateTime<Utc>> }, Closed }

    // A web shop's order, with names as its JSON API has them.
    #[serde(rename_all = "camelCase")]
    struct Order {
        order_id: Uuid,
        lines: Vec<Line>,
        shipping: Option<Address>,
        payment: Payment,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        placed_at: DateTime<Utc>,
    }
    #[serde(rename_all = "camelCase")]
    struct Line { sku: String, quantity: u32, unit_price: Decimal }
    #[serde(rename_all = "camelCase")]
    struct Address { street: String, zip: String, country: String }
    #[serde(tag = "method", rename_all = "snake_case")]
    enum Payment { Card { last4: String, auth: Option<Uuid> }, Transfer { iban: String }, Voucher(v: Voucher) }
    struct Voucher { code: String, worth: Decimal }
    #[serde(rename_all = "camelCase")]
    struct OrderText { lines: Vec<LineText> }
    struct LineText { sku: String, #[serde(with = "rust_decimal::serde::str")] price: Decimal }

    // A first-in-first-out stock: the order of the lots is its meaning.
    struct Stock { lots: IndexMap<String, Lot>, waiting: Vec<(Uuid, u32)>, sold: u64 }
    struct Lot { quantity: u32, cost: f64, received: NaiveDate }

    // A subscription with a type that validates before others.
    struct Plan { billed_on: Weekday, cents: u64, discounts: Vec<f32>, seats: HashMap<String, Seat> }
    struct Seat { user: Uuid, role: Option<Role>, last_seen: Option<DateTime<Utc>> }
    enum Role { Admin, Member, Guest(days: u16) }

    // A game board.
    struct Game { board: [[Option<Piece>; 3]; 3], turn: Side, clock: [u32; 2], history: Vec<(u8, u8)> }
    struct Piece { side: Side, rank: u8 }
    enum Side { White, Black }

    // A document with free-form metadata.
    struct Document { title: String, meta: serde_json::Value, revisions: Vec<Revision>, links: BTreeMap<String, url::Url> }
    struct Revision { by: String, at: i64, patch: serde_json::Map<String, serde_json::Value> }
    struct Envelope { v: u8, #[serde(flatten)] known: Header, #[serde(flatten)] rest: BTreeMap<String, serde_json::Value> => |g| {
        (0..g.len()).map(|_| (format!("x-{}", g.word()), g.any())).collect() } }
    struct Header { source: String, trace: Option<u64> }

    // Telemetry: floats everywhere.
    struct Device { readings: Vec<(i64, f64)>, mean: f64, by_sensor: BTreeMap<u16, Vec<f32>>, at: Option<[f64; 2]> }
    struct WorkflowStep { id: u32, after: Vec<u32>, state: StepState, retry: Option<Result<u32, String>> }
    enum StepState { Waiting, Running { since: i64 }, Failed(code: i32, text: String), Done(out: BTreeMap<String, String>) }
    struct Permissions { roles: BTreeMap<String, std::collections::BTreeSet<String>>, users: HashMap<Uuid, std::collections::HashSet<String>> }
    struct Tagged32 { t: std::collections::VecDeque<(u32, Option<Side2>)>, s: Arc<[Side2]> }
    enum Side2 { Bid(px: i64, qty: u64), Ask(px: i64, qty: u64) }
    struct Generic2 { page: Page<u32>, wrapped: Page<String> }
}

/// A generic type of the application.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    items: Vec<T>,
    next: Option<T>,
}

impl<T: Value> Value for Page<T> {
    fn make(g: &mut Gen) -> Self {
        Self { items: g.many(), next: g.any() }
    }

    fn same(&self, other: &Self) -> bool {
        self.items.same(&other.items) && self.next.same(&other.next)
    }
}

fn main() -> ExitCode {
    states::run(cases! {
        Tree, Chain as "linked list of Box", Expr, TaggedExpr as "tagged recursive enum",
        Folder as "map of itself", Even as "two recursive types",
        Account as "bank account",
        Order as "web shop order",
        OrderText as "order, Decimal as text",
        Stock as "stock, first in first out",
        Plan as "subscription",
        Game as "game board",
        Document as "document with JSON",
        Envelope as "envelope, flattened JSON",
        Device as "telemetry",
        WorkflowStep as "workflow step",
        Permissions as "permissions",
        Tagged32 as "order book",
        Generic2 as "generic structs",
        serde_json::Value,
        serde_json::Map<String, serde_json::Value> as "serde_json::Map",
    })
}
