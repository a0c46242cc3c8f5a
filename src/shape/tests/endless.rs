//! Before elements that take no bytes, a length of 2^60 is as valid as any other, and a decoder
//! counts to it. Such a type is not suitable for a positional codec.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{clean, trace};

#[test]
#[expect(clippy::zero_sized_map_values, reason = "the subject of the test")]
fn sequences_of_what_takes_no_bytes_are_refused() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing {}
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Marker;
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapped((Marker, ()));
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holds<T> {
        name: String,
        many: T,
    }
    fn endless<T: Serialize + DeserializeOwned>() {
        let why = "field `many` of `Holds` may contain any number of values that take no bytes, \
                   so decoding a damaged length might never end";
        let obstacle = trace::<Holds<T>>().obstacle.map(|obstacle| obstacle.to_string());
        assert_eq!(obstacle.as_deref(), Some(why), "{}", std::any::type_name::<T>());
    }
    endless::<Vec<()>>();
    endless::<Vec<Nothing>>();
    endless::<Vec<Wrapped>>();
    endless::<Vec<[u8; 0]>>();
    endless::<BTreeMap<(), ()>>();
    assert!(trace::<Vec<Vec<()>>>().obstacle.is_some());
    // Each of these takes at least one byte.
    clean::<Holds<Vec<Option<()>>>>();
    clean::<Holds<Vec<(Marker, bool)>>>();
    clean::<Holds<BTreeMap<u8, ()>>>();
    clean::<Holds<Vec<Vec<u8>>>>();
    clean::<Holds<((), [Marker; 3])>>();
}
