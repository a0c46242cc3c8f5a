//! A progress bar, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// Counts up to `len` on standard error, if that is a terminal. Disappears when it is dropped.
pub(crate) fn bar(doing: &'static str, len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len).with_message(doing);
    match ProgressStyle::with_template("{msg:12} [{bar:30}] {human_pos}/{human_len} {eta}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
