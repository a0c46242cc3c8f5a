//! [`PublicationsRequest`]: which publications are listed.

use super::content::Publication;
use super::id::PublicationId;
use super::status::PublicationStatus;

/// Requests publications of one project, newest first.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PublicationsRequest<'a> {
    /// The project.
    pub project: &'a str,
    /// Lists only those of this collection.
    pub collection: Option<&'a str>,
    /// Lists only those with this tag.
    pub tag: Option<&'a str>,
    /// Whether to list only completed ones. True by default.
    pub completed: bool,
    /// Lists only those with a lower id (exclusive): the last one of the previous page.
    pub after: Option<PublicationId>,
    /// The maximum number of items. 0 is treated as 1.
    pub limit: usize,
}

impl<'a> PublicationsRequest<'a> {
    /// Requests the newest 100 completed ones.
    pub const fn new(project: &'a str) -> Self {
        Self { project, collection: None, tag: None, completed: true, after: None, limit: 100 }
    }

    /// Lists only those of this collection.
    pub const fn collection(mut self, collection: &'a str) -> Self {
        self.collection = Some(collection);
        self
    }

    /// Lists only those with this tag.
    pub const fn tagged(mut self, tag: &'a str) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Sets whether to list only completed ones.
    pub const fn completed(mut self, completed: bool) -> Self {
        self.completed = completed;
        self
    }

    /// Continues after the last one of a page.
    pub const fn after(mut self, after: PublicationId) -> Self {
        self.after = Some(after);
        self
    }

    /// Sets the maximum number of items.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns whether a publication of the project is listed, whatever the page.
    pub fn admits(&self, publication: &Publication) -> bool {
        let details = &publication.details;
        (!self.completed || publication.status == PublicationStatus::Completed)
            && self.collection.is_none_or(|it| details.collection.as_deref() == Some(it))
            && self.tag.is_none_or(|tag| details.tags.iter().any(|it| it == tag))
    }
}
