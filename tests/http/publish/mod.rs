//! Publications over HTTP.

mod artifacts;
mod collected;
mod document;
mod flow;
mod forms;
mod hostile;
mod idle;
mod press;
mod service;
mod shelf;
mod told;
mod uploads;
