//! The kit for aggregates: checks the [laws](Law).
//!
//! [`aggregate()`] creates histories with the application's event generator, folds, encodes and
//! resumes them, and compares the states.

mod check;
mod choices;
mod golden;
mod history;
mod law;
mod law_case;
mod laws;
mod panics;
mod process;
mod report;
mod runner;
mod shrink;
mod under_test;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Codec, Postcard};
use crate::state::Aggregate;

pub use check::AggregateCheck;
pub use choices::Choices;
pub use law::Law;
pub use report::{FailingHistory, LawFinding, LawOutcome, LawReport, LawVerdict, LawsBroken};

use under_test::SharedSubject;

/// Starts a check of the [laws](Law) that make a load of `A` equal a full replay.
///
/// `generate` returns the next event of a history. It receives the current state, so that it can
/// return events that are valid in this state. It must depend only on its arguments.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use snapfold::{Aggregate, AggregateKey};
/// # #[derive(Clone, PartialEq, Serialize, Deserialize)]
/// # struct Account { balance: i64 }
/// # #[derive(Debug, Serialize, Deserialize)]
/// # enum Moved { In(i64), Out(i64) }
/// # impl Aggregate for Account {
/// #     type Event = Moved;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account { balance: 0 } }
/// #     fn apply(&mut self, event: &Moved) {
/// #         match event {
/// #             Moved::In(amount) => self.balance += amount,
/// #             Moved::Out(amount) => self.balance -= amount,
/// #         }
/// #     }
/// # }
/// use snapfold::conformance;
///
/// // #[test]
/// fn accounts_keep_the_laws() -> Result<(), Box<dyn std::error::Error>> {
///     let report = conformance::aggregate::<Account>(|account, choices| {
///         let amount = choices.between(1..=1_000);
///         if amount < account.balance && choices.chance(40) {
///             Moved::Out(amount)
///         } else {
///             Moved::In(amount)
///         }
///     })
///     .compare(|a, b| a == b)
///     .debug_events()
///     .seed(7)
///     .check()?;
///     println!("{report}");
///     report.assert()?;
///     Ok(())
/// }
/// # accounts_keep_the_laws().unwrap();
/// ```
///
/// # Golden samples
/// [`golden`](AggregateCheck::golden) sets a folder of snapshots that were recorded in earlier
/// releases, each with its events. [`record_golden`](AggregateCheck::record_golden) adds samples of
/// a generation that has none. Samples are the only protection against a fold whose *meaning*
/// changes while its type stays the same, and against upcasters that disagree with a replay.
///
/// # The second process
/// [`Law::AnyProcess`] runs the test binary again, with the name of the current test and an
/// environment variable. The test runs up to this check, which folds the same histories, writes the
/// result to a file and ends the process. Code before the check therefore runs twice, and other
/// checks in the same test are not judged in the second process. This works with `cargo test` and
/// `cargo nextest`. If the name of the test cannot be determined, the law is reported as not
/// judged, with instructions. If a test checks one aggregate several times with one generator, give
/// each check a different seed.
pub fn aggregate<A: Aggregate + Serialize + DeserializeOwned>(
    generate: impl Fn(&A, &mut Choices) -> A::Event + Send + Sync + 'static,
) -> AggregateCheck<A> {
    let mut check = AggregateCheck::new(SharedSubject::new(Postcard), generate);
    check.lens = Some(|state, is_human_readable| crate::value::write(state, is_human_readable));
    check
}

/// Starts a check as [`aggregate()`] does, for states that do not implement serde's traits. Such
/// states are compared by the bytes that `codec` produces, and reported differences have no path.
pub fn aggregate_with_codec<A: Aggregate>(
    codec: impl Codec<A>,
    generate: impl Fn(&A, &mut Choices) -> A::Event + Send + Sync + 'static,
) -> AggregateCheck<A> {
    AggregateCheck::new(SharedSubject::new(codec), generate)
}
