//! A snapshot of `{ paid: 5, due: 9 }` that is read as `{ due: 5, paid: 9 }` decodes without an
//! error, because positional bytes carry no names. Only the fingerprint protects a changed struct
//! from such a state, and only an obstacle protects a type from bytes that can be written but never
//! read. These tests compare both with the real codec.

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

/// Traces a type that must be complete and free of obstacles.
fn clean<T: Serialize + DeserializeOwned>() -> u64 {
    let shape = trace::<T>();
    assert_eq!(shape, trace::<T>(), "the same each time");
    assert!(shape.complete, "{} is complete", type_name::<T>());
    assert_eq!(shape.obstacle, None, "{}", type_name::<T>());
    assert_ne!(shape.fingerprint, 0);
    shape.fingerprint
}

/// Returns the shape, and the number of passes and visits of the trace.
fn cost<T: Serialize + DeserializeOwned>() -> (Shape, usize, usize) {
    let (shape, tracer) = explore::<T>(&[]);
    (shape, tracer.passes, tracer.visits)
}

/// Whether the real positional codec can round-trip these values.
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
