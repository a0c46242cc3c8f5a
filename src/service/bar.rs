//! Progress bars for a [`Batch`].

use std::fmt;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressFinish, ProgressState, ProgressStyle};

use super::batch::Batch;
use super::counts::RunCounts;
use super::watcher::BatchWatcher;

const KNOWN: &str =
    "{elapsed_precise} [{bar:30}] {human_pos}/{human_len} {rate}/s, {eta} left{msg}";
const UNKNOWN: &str = "{elapsed_precise} {human_pos} aggregates, {rate}/s{msg}";

/// Returns a progress bar for [`Batch::show_progress`], on standard error. It is hidden if standard
/// error is not a terminal.
///
/// `total` is the number of aggregates, if it is known. The bar shows it together with the
/// remaining time. [`Batch::run_for`] sets it if it is `None`.
///
/// ```
/// # use std::sync::Arc;
/// # use snapfold::SnapshotAdmin;
/// use snapfold::ledger::Task;
/// use snapfold::service::{Batch, progress_bar};
///
/// # async fn run(admin: Arc<dyn SnapshotAdmin>) {
/// let batch = Batch::new(admin).show_progress(progress_bar(None));
/// println!("{}", batch.run(Task::SnapshotAll).await);
/// # }
/// ```
pub fn progress_bar(total: impl Into<Option<u64>>) -> ProgressBar {
    let bar = match total.into() {
        Some(total) => ProgressBar::new(total).with_style(style(KNOWN)),
        None => ProgressBar::no_length().with_style(style(UNKNOWN)),
    };
    // A batch that is dropped leaves the line as it is.
    bar.with_finish(ProgressFinish::Abandon)
}

fn style(template: &str) -> ProgressStyle {
    match ProgressStyle::with_template(template) {
        Ok(style) => whole_rate(style).progress_chars("=> "),
        Err(_) => ProgressStyle::default_bar(),
    }
}

/// Adds the key `rate`: how many per second. indicatif shows its own rates with four digits after
/// the point.
pub(crate) fn whole_rate(style: ProgressStyle) -> ProgressStyle {
    style.with_key("rate", |state: &ProgressState, to: &mut dyn fmt::Write| {
        // Nothing can be done if the terminal fails.
        let _ = write!(to, "{:.0}", state.per_sec());
    })
}

impl Batch {
    /// Shows the progress of this batch on a bar: one from [`progress_bar`], or your own, for
    /// example with another style or as part of a `MultiProgress`. Its position is the number of
    /// aggregates that are done, and its message the number of those that failed.
    pub fn show_progress(mut self, bar: ProgressBar) -> Self {
        self.watcher = Some(Arc::new(bar));
        self
    }
}

impl BatchWatcher for ProgressBar {
    fn started(&self, total: usize) {
        if self.length().is_none() {
            self.set_length(total as u64);
            self.set_style(style(KNOWN));
        }
    }

    fn counted(&self, counts: &RunCounts) {
        if counts.failed > 0 {
            self.set_message(format!(", {} failed", counts.failed));
        }
        self.set_position(counts.aggregates);
    }

    fn ended(&self, _: &RunCounts, is_complete: bool) {
        if is_complete {
            self.finish();
        } else {
            self.abandon();
        }
    }
}
