//! Progress on standard error, if that is a terminal.

use crate::service::whole_rate;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

const SNAPSHOTS: &str = "{elapsed_precise} {human_pos} snapshots, {rate}/s{msg}";
const BYTES: &str = "{elapsed_precise} {bytes}, {bytes_per_sec}{msg}";

/// Returns a counter of snapshots.
pub(crate) fn snapshots_progress() -> ProgressBar {
    progress(SNAPSHOTS)
}

/// Returns a counter of bytes.
pub(crate) fn bytes_progress() -> ProgressBar {
    progress(BYTES)
}

/// The bar is removed when it is dropped, and hidden if standard error is no terminal.
fn progress(template: &str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_finish(ProgressFinish::AndClear);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(whole_rate(style)),
        Err(_) => bar,
    }
}
