//! What the commands print.

mod grid;
mod json;
mod pretty;
mod progress;
mod screen;
mod text;

pub(super) use grid::{Grid, GridColumn};
pub(super) use json::{clean, generation_json, key_json, meta_json, one_line};
pub(super) use pretty::pretty;
pub(super) use progress::{bytes_progress, snapshots_progress};
pub(super) use screen::{Screen, Tone, tell};
pub(super) use text::{age, count, minute, shown, shown_error, shown_id, shown_key, size};
