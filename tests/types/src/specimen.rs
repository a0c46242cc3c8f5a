//! What every state type can do: [`Value`], [`Specimen`].

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Gen;

/// Makes values of itself and compares them strictly.
pub trait Value: Clone + Debug + Send + Sync + 'static {
    /// A random value; edge values come up often.
    fn make(g: &mut Gen) -> Self;

    /// Whether an application could tell the two apart: floats by their bits, order where the type
    /// shows one. Not what `Serialize` says, and not what `PartialEq` says of floats.
    fn same(&self, other: &Self) -> bool {
        by_debug(self, other)
    }
}

/// A state type.
pub trait Specimen: Value + Serialize + DeserializeOwned {}
impl<T: Value + Serialize + DeserializeOwned> Specimen for T {}

/// Equal by what `Debug` prints, alternate form.
pub fn by_debug<T: Debug>(a: &T, b: &T) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// Equal element by element, in order.
pub fn seq_same<'a, T: Value>(
    a: impl IntoIterator<Item = &'a T>,
    b: impl IntoIterator<Item = &'a T>,
) -> bool {
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.same(b) => {}
            _ => return false,
        }
    }
}

/// Types of other crates: how a value is made and, if `Debug` does not show all, how two are
/// compared.
#[macro_export]
macro_rules! specimen {
    ($($t:ty => |$g:ident| $make:expr $(, same |$a:ident, $b:ident| $same:expr)?;)*) => {$(
        impl $crate::Value for $t {
            fn make($g: &mut $crate::Gen) -> Self {
                let _ = &$g;
                $make
            }
            $(fn same(&self, other: &Self) -> bool {
                let ($a, $b) = (self, other);
                $same
            })?
        }
    )*};
}
