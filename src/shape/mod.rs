//! What a state type looks like to serde: [`trace`] gives its [`Shape`].
//!
//! # What the fingerprint covers
//!
//! The requests that `T::deserialize` makes, in order, as seen by a format that is not human
//! readable:
//!
//! * kinds: each width and sign of integer and float, bool, char, string, bytes, unit, unit
//!   struct, option, sequence, map, newtype struct, tuple and tuple struct with their lengths,
//!   struct, enum, and the four kinds of variant;
//! * the names of fields and variants in declared order, aliases included, as serde sees them
//!   (after `rename`);
//! * the contents of each: what a field, an element, a key, a value or a variant asks for.
//!
//! So adding, removing, renaming, reordering and retyping a field or variant changes it, at any
//! depth. Left out: the names of types (renaming a struct changes nothing), `default`, owned
//! against borrowed strings and bytes, smart pointers, validation, and meaning (euros against
//! cents), for which the application declares a schema version. `#[serde(skip)]` fields and
//! `PhantomData` parameters are invisible, as they are in stored bytes.
//!
//! # What is unseen
//!
//! The trace offers made-up values, and those of the application's samples. A part that refuses
//! all of them (a validated newtype) is noted as unseen, with the kind it asked for, and so is
//! everything that cannot be built without it. The names of types are not used for this: they are
//! not stable. The trace goes on behind it as far as serde allows:
//!
//! * a struct or struct variant is read by name, one field at a time, so all of its other fields
//!   are seen;
//! * an option, sequence or map is left empty, an enum takes its other variants;
//! * the parts of a tuple behind one that refuses everything stay unseen. A sample helps.
//!
//! # Opaque parts
//!
//! Some parts ask the format what comes next: untagged and internally tagged enums, free-form
//! values, the content of adjacently tagged enums, structs with a flattened field. serde buffers
//! what they get, so their own requests do not reach the trace. Their errors do, those that serde
//! drops included. An `Opening` starts with a text that nothing accepts and changes it step by
//! step, as the errors ask for: a missing field is added, an unknown variant is replaced by each
//! of those that the error lists, a refused leaf by one of another kind.
//!
//! If there is an opaque part, the fingerprint also covers
//!
//! * the names in these errors: missing fields, the variants of each enum, all fields where
//!   unknown ones are denied;
//! * what `Serialize` writes of the values that the trace could build, and of the samples: names
//!   and kinds, the names of fields that are left out, never data.
//!
//! Not told by anything: the fields of a flattened struct that have a default and are left out of
//! every value, and the variants of an externally tagged enum that is flattened.
//!
//! A change that is not covered leaves the fingerprint as it is. If it changes a value, it is
//! found when the snapshot is decoded and its state compared with the digest of what was written.
//!
//! The fingerprint is the same in every process and on every platform; `isize` and `usize` are
//! 64 bits to serde. It is stored with snapshots: see `fingerprint` for the bytes behind it.
//!
//! # Early refusals
//!
//! What a positional codec certainly cannot carry is an [`Obstacle`]: parts that are opaque or
//! read by name, fields that are left out of a sample by `skip_serializing_if`, and sequences
//! whose elements take no bytes. A trait object of typetag is opaque and no obstacle: its tag comes
//! first, and tells what follows. Everything else shows when a state is written and read back.
//!
//! # Bounds
//!
//! One trace runs `T::deserialize` at most [`MAX_PASSES`](pass::MAX_PASSES) times, answers at
//! most [`MAX_VISITS`](pass::MAX_VISITS) requests, and goes at most
//! [`MAX_DEPTH`](tracer::MAX_DEPTH) requests deep. Each variant of an enum takes one pass, a part
//! that refuses everything up to 65, an opaque part up to 256, all opaque parts together a quarter
//! of the bounds. A type that exceeds them gets a fingerprint of what was seen, the same each time,
//! and [`Shape::complete`] is false.
//!
//! Code of the type that panics has refused a value. The panic hook of the process still runs, so
//! a message may appear on stderr; with `panic = "abort"` the process ends.

mod access;
mod candidates;
mod cursor;
mod fault;
mod fingerprint;
mod graph;
mod obstacle;
mod offer;
mod opening;
mod pass;
mod plan;
mod repair;
mod survey;
#[cfg(test)]
#[allow(dead_code, unreachable_pub, reason = "types that are made for their shape")]
mod tests;
mod tracer;
mod tree;
mod trials;

use std::any::type_name;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::obstacle::Obstacle;

use self::access::ShapeCursor;
use self::candidates::Harvest;
use self::fault::FaultListener;
use self::graph::TOP;
use self::pass::Cause;
use self::survey::{SurveyNotes, survey};
use self::tracer::Tracer;

/// What [`trace`] learned about a type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Shape {
    /// Changes when the shape of the type changes; never 0.
    pub(crate) fingerprint: u64,
    /// Every part of the type was seen. If not, changes in the unseen parts go unnoticed.
    pub(crate) complete: bool,
    /// The first reason found why a positional codec cannot carry the type. `None` is no promise:
    /// whether a state survives its codec is proved when it is written.
    pub(crate) obstacle: Option<Obstacle>,
    /// Values can nest without end: the type contains itself, takes any value, or was not seen
    /// completely.
    pub(crate) recursive: bool,
}

/// Learns the shape of `T` from its serde implementations, with the help of `samples`.
///
/// Runs `T::deserialize` on made-up values until every enum variant and every option was seen
/// from inside. Takes tens of microseconds for most types, some hundred if many fields
/// are flattened or tagged: do it once per type.
pub(crate) fn trace<T: Serialize + DeserializeOwned>(samples: &[T]) -> Shape {
    explore(samples).0
}

fn explore<T: Serialize + DeserializeOwned>(samples: &[T]) -> (Shape, Tracer) {
    let _listener = FaultListener::new();
    let notes =
        RefCell::new(SurveyNotes { harvest: Some(Harvest::default()), ..SurveyNotes::default() });
    for sample in samples {
        survey(sample, &notes);
    }
    let harvest = notes.borrow_mut().harvest.take();
    let mut tracer = Tracer::new(type_name::<T>(), harvest.unwrap_or_default());
    run_passes::<T>(&mut tracer, &notes);

    let notes = notes.into_inner();
    let mut told = tracer.trials.told.clone();
    if tracer.obstacle.is_some() || tracer.trait_object {
        told.extend(&notes.written);
    }
    let fingerprint = fingerprint::fingerprint(&tracer.graph, &told);
    let complete = !tracer.partial && tracer.graph.is_finished();
    let recursive = !complete || tracer.graph.nests_without_end();
    let skipped = || notes.skipped.map(|place| Obstacle::SkippedField { place });
    let endless = || tracer.endless.clone().map(|place| Obstacle::NoBytes { place });
    let obstacle = tracer.obstacle.clone().or_else(skipped).or_else(endless);
    (Shape { fingerprint, complete, obstacle, recursive }, tracer)
}

/// Runs passes until nothing is left to do, or what is left is out of reach.
fn run_passes<T: Serialize + DeserializeOwned>(tracer: &mut Tracer, notes: &RefCell<SurveyNotes>) {
    while tracer.begin_pass() {
        let cursor = ShapeCursor { tracer: &mut *tracer, site: TOP };
        let read = || T::deserialize(cursor).map(|sample| survey(&sample, notes));
        let known = notes.borrow().known();
        // What panics here is code of the application, which refuses a value in its own way.
        let go_on = match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(())) => {
                tracer.conclude_pass(true);
                let notes = notes.borrow();
                tracer.learn(&notes.names, notes.known() > known);
                tracer.pass_done()
            }
            Ok(Err(_)) => {
                tracer.fail(TOP, 0, Cause::Refused);
                tracer.conclude_pass(false);
                tracer.recover()
            }
            Err(_) => {
                tracer.pass_panicked();
                tracer.conclude_pass(false);
                tracer.recover()
            }
        };
        if !go_on {
            tracer.partial = true;
            return;
        }
    }
}
