//! States as files that any web server serves: [`StaticExport`].

mod export;
mod export_index;
mod folder;
mod report;

pub use export::StaticExport;
pub use report::ExportReport;
