//! The inspector: a page that shows states through time, as a client of the service.

mod page;

pub(crate) use page::INSPECTOR_PAGE;
