//! A snapshot of `{ paid: 5, due: 9 }` that is read as `{ due: 5, paid: 9 }` decodes without an
//! error: positional bytes carry no names. The fingerprint is what stands between a changed
//! struct and such a state, and an obstacle is what stands between a type and bytes that can be
//! written but never read. These tests hold both against the real codec.

mod endless;
mod fingerprints;
mod given;
mod obstacles;
mod opaque;
mod samples;
mod unseen;

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Shape, explore};

fn trace<T: Serialize + DeserializeOwned>() -> Shape {
    super::trace::<T>(&[])
}

/// Traces a type that must come out whole and free of obstacles.
fn clean<T: Serialize + DeserializeOwned>() -> u64 {
    let shape = trace::<T>();
    assert_eq!(shape, trace::<T>(), "the same each time");
    assert!(shape.complete, "{} is complete", type_name::<T>());
    assert_eq!(shape.obstacle, None, "{}", type_name::<T>());
    assert_ne!(shape.fingerprint, 0);
    shape.fingerprint
}

/// The passes and visits that a trace took.
fn cost<T: Serialize + DeserializeOwned>() -> (Shape, usize, usize) {
    let (shape, tracer) = explore::<T>(&[]);
    (shape, tracer.passes, tracer.visits)
}

/// Whether the real positional codec carries these values there and back.
#[cfg(feature = "postcard")]
fn carries<T: Serialize + DeserializeOwned + PartialEq>(values: &[T]) -> bool {
    values.iter().all(|value| {
        let Ok(bytes) = postcard::to_stdvec(value) else { return false };
        match postcard::take_from_bytes::<T>(&bytes) {
            Ok((back, rest)) => back == *value && rest.is_empty(),
            Err(_) => false,
        }
    })
}
