//! Publications over HTTP.

mod artifacts;
mod document;
mod flow;
mod hostile;
mod idle;
mod press;
mod service;
mod shelf;
mod told;
mod uploads;
