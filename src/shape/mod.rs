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
//! A part that asks the format what comes next (untagged and internally tagged enums, free-form
//! values, structs with a flattened field) is opaque: the fingerprint says that it is there, not
//! what is in it. Positional codecs refuse such a type anyway, and the others read it by name.
//!
//! The fingerprint is the same in every process and on every platform; `isize` and `usize` are
//! 64 bits to serde. It is stored with snapshots: see `fingerprint` for the bytes behind it.
//!
//! # Bounds
//!
//! One trace runs `T::deserialize` at most [`MAX_PASSES`](tracer::MAX_PASSES) times, answers at
//! most [`MAX_VISITS`](tracer::MAX_VISITS) requests, and goes at most
//! [`MAX_DEPTH`](tracer::MAX_DEPTH) requests deep. Each variant of an enum takes one pass. A type
//! that exceeds them, or that accepts none of the sample values, gets a fingerprint of what was
//! seen, the same each time, and [`Shape::complete`] is false. Beyond what the type's own code
//! does, nothing panics.

mod access;
mod candidates;
mod cursor;
mod fault;
mod fingerprint;
mod graph;
mod obstacle;
mod plan;
mod repair;
mod sample;
#[cfg(test)]
#[allow(dead_code, unreachable_pub, reason = "types that are made for their shape")]
mod tests;
mod tracer;
mod write;

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use self::obstacle::Obstacle;

use self::cursor::Cursor;
use self::graph::TOP;
use self::plan::Phase;
use self::sample::{Sample, Where};
use self::tracer::{At, Cause, Tracer};

/// What [`trace`] learned about a type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) struct Shape {
    /// Changes when the shape of the type changes; never 0.
    pub(crate) fingerprint: u64,
    /// Every part of the type was seen. If not, changes in the unseen parts go unnoticed.
    pub(crate) complete: bool,
    /// The first reason found why a positional codec cannot carry the type. `None` is a promise
    /// only if the shape is [complete](Self::complete), and only as far as the sample values go:
    /// a field left out on a condition that no sample meets stays unseen.
    pub(crate) obstacle: Option<Obstacle>,
    /// Values can nest without end: the type contains itself, takes any value, or was not seen
    /// completely.
    pub(crate) recursive: bool,
}

/// Learns the shape of `T` from its serde implementations.
///
/// Runs `T::deserialize` on sample values until every enum variant and every option was seen
/// from inside, then writes the values it got with `T::serialize` to compare what is read with
/// what is written. Takes tens of microseconds for most types: do it once per type.
pub(crate) fn trace<T: Serialize + DeserializeOwned>() -> Shape {
    let mut tracer = Tracer::new(type_name::<T>());
    explore::<T>(&mut tracer)
}

fn explore<T: Serialize + DeserializeOwned>(tracer: &mut Tracer) -> Shape {
    run_phase::<T>(tracer, Phase::Contents);
    let fingerprint = fingerprint::fingerprint(&tracer.graph);
    let complete = !tracer.partial && tracer.graph.is_finished();
    // The other phases only look for obstacles.
    for phase in [Phase::Empty, Phase::Other] {
        if tracer.obstacle.is_none() && !tracer.stuck {
            run_phase::<T>(tracer, phase);
        }
    }
    if let Some(site) = tracer.graph.endless() {
        tracer.meet(Obstacle::NoBytes { place: tracer.place(site) });
    }
    let recursive = !complete || tracer.graph.nests_without_end();
    Shape { fingerprint, complete, obstacle: tracer.obstacle.take(), recursive }
}

fn run_phase<T: Serialize + DeserializeOwned>(tracer: &mut Tracer, phase: Phase) {
    tracer.phase = phase;
    let mut samples: Vec<T> = Vec::new();
    let ended_well = run_passes(tracer, &mut samples);
    // Only now are all types known that the samples are compared with.
    for sample in &samples {
        compare(tracer, sample);
    }
    if !ended_well {
        tracer.partial = true;
        tracer.stuck = true;
    }
}

/// Runs passes until nothing is left to do; false if something is left, yet out of reach.
fn run_passes<T: DeserializeOwned>(tracer: &mut Tracer, samples: &mut Vec<T>) -> bool {
    while tracer.begin_pass() {
        let at = At { site: TOP, reader: type_name::<T>() };
        let cursor = Cursor { tracer: &mut *tracer, at };
        let go_on = if let Ok(sample) = T::deserialize(cursor) {
            samples.push(sample);
            tracer.pass_done()
        } else {
            tracer.fail(TOP, 0, Cause::Refused);
            tracer.recover()
        };
        if !go_on {
            return false;
        }
    }
    true
}

/// Writes a sample to look for obstacles. A value that its own type refuses to write tells
/// nothing.
fn compare<T: Serialize>(tracer: &mut Tracer, sample: &T) {
    if tracer.obstacle.is_some() {
        return;
    }
    let expected = tracer.graph.slot(TOP).child;
    let at = Where::of(type_name::<T>());
    let mut found = None;
    let _ = sample.serialize(Sample::new(&tracer.graph, &mut found, expected, at));
    tracer.obstacle = found;
}
