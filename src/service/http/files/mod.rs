//! States as files that any web server serves: [`StaticExport`].

mod export;
mod export_index;
mod file_name;
mod folder;
mod report;

pub use export::StaticExport;
pub(super) use file_name::file_name;
pub use report::ExportReport;
