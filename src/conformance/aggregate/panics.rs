//! [`catch`]: catches panics of the application's code and silences their messages.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A caught panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Panicked {
    pub(super) message: String,
    /// The location, such as `src/account.rs:12:9`.
    pub(super) place: Option<String>,
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.message)?;
        match &self.place {
            Some(place) => write!(f, " at {place}"),
            None => Ok(()),
        }
    }
}

/// Runs `work` and catches its panic. Callers discard values that `work` was changing.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    silence_caught_panics();
    let before = QUIET.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    done.map_err(|payload| Panicked { message: message(&*payload), place: PLACE.take() })
}

/// The search for the smallest history causes the same panic hundreds of times. The hook keeps
/// these messages out of the test's output, and forwards all other panics.
fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // While a thread ends, its thread-local values are gone and `catch` cannot be running.
            if QUIET.try_with(Cell::get).unwrap_or(false) {
                let place = info.location().map(ToString::to_string);
                let _ = PLACE.try_with(|kept| kept.replace(place));
            } else {
                before(info);
            }
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_says_what_and_where() {
        let caught = catch(|| panic!("no {}", 7)).unwrap_err();
        assert_eq!(caught.message, "no 7");
        assert!(caught.place.unwrap().contains("panics.rs"));
        assert_eq!(catch(|| 5), Ok(5));
    }
}
