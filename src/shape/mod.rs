//! The shape of a state type, as serde sees it: [`trace`] returns its [`Shape`].
//!
//! # What the fingerprint covers
//!
//! The requests that `T::deserialize` makes, in order, from a format that is not human-readable:
//! * kinds: each width and sign of integer and float, bool, char, string, bytes, unit, unit
//!   struct, option, sequence, map, newtype struct, tuple and tuple struct with their lengths,
//!   struct, enum, and the four kinds of variant;
//! * the names of fields and variants in declared order, aliases included, as serde sees them
//!   (after `rename`);
//! * the contents of each: what a field, an element, a key, a value or a variant requests.
//!
//! So adding, removing, renaming, reordering and retyping a field or variant changes the
//! fingerprint, at any depth. It does not cover the names of types (renaming a struct changes
//! nothing), `default`, owned versus borrowed strings and bytes, smart pointers, validation, or
//! meaning (euros versus cents), for which the application declares a schema version.
//! `#[serde(skip)]` fields and `PhantomData` parameters are invisible, as they are in stored bytes.
//!
//! # What is unseen
//!
//! The trace offers made-up values, and values from the application's samples. A part that refuses
//! all of them (a validated newtype) is noted as unseen, with the kind that it requested, and so is
//! everything that cannot be built without it. The names of types are not used for this, because
//! they are not stable. The trace continues past an unseen part as far as serde allows:
//!
//! * a struct or struct variant is read by name, one field at a time, so all of its other fields
//!   are seen;
//! * an option, sequence or map is left empty, an enum takes its other variants;
//! * the parts of a tuple after one that refuses everything stay unseen unless a sample is given.
//!
//! # Opaque parts
//!
//! Some parts ask the format what comes next: untagged and internally tagged enums, free-form
//! values, the content of adjacently tagged enums, structs with a flattened field. serde buffers
//! their input, so their own requests do not reach the trace. Their errors do, including those that
//! serde drops. An `Opening` starts with a string that no type accepts, and changes it step by step
//! as the errors demand: it adds a missing field, replaces an unknown variant by each variant that
//! the error lists, and replaces a refused leaf by one of another kind.
//!
//! If there is an opaque part, the fingerprint also covers
//!
//! * the names in these errors: missing fields, the variants of each enum, and all fields where
//!   unknown ones are denied;
//! * what `Serialize` writes for the samples and for the values that the trace could build: names
//!   and kinds, and the names of omitted fields, but never data.
//!
//! Two things cannot be detected: the fields of a flattened struct that have a default and are
//! omitted from every value, and the variants of an externally tagged enum that is flattened.
//!
//! A change that is not covered leaves the fingerprint unchanged. If such a change affects a value,
//! it is detected when the snapshot is decoded and the state is compared with the stored digest.
//!
//! The fingerprint is the same in every process and on every platform; serde treats `isize` and
//! `usize` as 64 bits. It is stored with snapshots. `fingerprint` documents the hashed bytes.
//!
//! # Early refusals
//!
//! An [`Obstacle`] is something that a positional codec certainly cannot represent: parts that are
//! opaque or read by name, fields that `skip_serializing_if` omits from a sample, and sequences
//! whose elements take no bytes. A typetag trait object is opaque but not an obstacle, because its
//! tag comes first and determines what follows. All other problems show when a state is written and
//! read back.
//!
//! # Bounds
//!
//! One trace runs `T::deserialize` at most [`MAX_PASSES`](pass::MAX_PASSES) times, answers at most
//! [`MAX_VISITS`](pass::MAX_VISITS) requests, and goes at most [`MAX_DEPTH`](tracer::MAX_DEPTH)
//! requests deep. Each variant of an enum takes one pass, a part that refuses everything up to 65,
//! an opaque part up to 256, and all opaque parts together a quarter of these bounds. A type that
//! exceeds the bounds gets a fingerprint of what was seen, which is the same each time, and
//! [`Shape::complete`] is false.
//!
//! If code of the type panics, it counts as having refused a value. The panic hook of the process
//! still runs, so a message may appear on stderr. With `panic = "abort"` the process aborts.

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
#[allow(dead_code, unreachable_pub, reason = "only the shape of these types matters")]
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

/// The result of [`trace`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Shape {
    /// Changes when the shape of the type changes; never 0.
    pub(crate) fingerprint: u64,
    /// Whether every part of the type was seen. If not, changes in the unseen parts go undetected.
    pub(crate) complete: bool,
    /// The first reason found why a positional codec cannot represent the type. `None` guarantees
    /// nothing: each write verifies that the state survives its codec.
    pub(crate) obstacle: Option<Obstacle>,
    /// Whether values can nest without a limit: the type is recursive, accepts any value, or was
    /// not seen completely.
    pub(crate) recursive: bool,
}

/// Traces the shape of `T` through its serde implementations, with the help of `samples`.
///
/// Runs `T::deserialize` on made-up values until the contents of every enum variant and every
/// option were seen. Takes tens of microseconds for most types, and some hundred if many fields are
/// flattened or tagged, so do it only once per type.
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

/// Runs passes until nothing is left to do, or the rest cannot be reached.
fn run_passes<T: Serialize + DeserializeOwned>(tracer: &mut Tracer, notes: &RefCell<SurveyNotes>) {
    while tracer.begin_pass() {
        let cursor = ShapeCursor { tracer: &mut *tracer, site: TOP };
        let read = || T::deserialize(cursor).map(|sample| survey(&sample, notes));
        let known = notes.borrow().known();
        // A panic here comes from code of the application. It counts as refusing the value.
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
