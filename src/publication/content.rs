//! [`Publication`]: artifacts that are published together.

use std::collections::BTreeMap;

use super::details::PublicationDetails;
use super::id::PublicationId;
use super::part::PublicationPart;
use super::status::PublicationStatus;
use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// Artifacts that are published together, and what is said about them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publication {
    /// The project: a tenant.
    pub project: String,
    /// The name within the project.
    pub id: PublicationId,
    /// How often it was changed: 1 for a new one.
    pub revision: u64,
    /// How far it is.
    pub status: PublicationStatus,
    /// What is said about it.
    pub details: PublicationDetails,
    /// The artifacts by their names ([`PublicationPart::check_name`]).
    pub parts: BTreeMap<String, PublicationPart>,
    /// Names a request to publish, so that a repeated one finds the first publication. It is unique
    /// among those of the project that have not failed.
    pub request_key: Option<[u8; 32]>,
    /// Who began it: the name of a principal.
    pub created_by: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Until when it can be finalised (exclusive).
    pub expires_at: Timestamp,
    /// When it was completed or failed.
    pub ended_at: Option<Timestamp>,
}

impl Publication {
    /// The maximum length of the name of a project, in bytes (inclusive).
    pub const MAX_PROJECT_BYTES: usize = 160;
    /// The maximum number of artifacts (inclusive).
    pub const MAX_PARTS: usize = 64;
    /// The maximum length of the name of the principal who began it, in bytes (inclusive).
    pub const MAX_CREATOR_BYTES: usize = 1_024;

    /// Begins a publication without details and artifacts.
    pub fn new(
        project: impl Into<String>,
        id: PublicationId,
        created_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            project: project.into(),
            id,
            revision: 1,
            status: PublicationStatus::Generating,
            details: PublicationDetails::default(),
            parts: BTreeMap::new(),
            request_key: None,
            created_by: String::new(),
            created_at,
            expires_at,
            ended_at: None,
        }
    }

    /// Returns the names of the artifacts that are not stored yet.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let missing = self.parts.iter().filter(|(_, part)| part.stored.is_none());
        missing.map(|(name, _)| name.as_str())
    }

    /// Checks the length of the name of a project. Stores call this before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is longer than
    /// [`MAX_PROJECT_BYTES`](Self::MAX_PROJECT_BYTES).
    pub fn check_project(project: &str) -> Result<(), Error> {
        if project.len() <= Self::MAX_PROJECT_BYTES {
            return Ok(());
        }
        let most = Self::MAX_PROJECT_BYTES;
        Err(invalid(format!("the name of the project has more than {most} bytes")))
    }

    /// Returns whether `newer` may replace this one, as far as what never changes is concerned.
    /// For implementers of [`PublicationStore`](super::PublicationStore).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if they differ in project, id, request key, creator, or the times
    /// of the creation and the expiry.
    pub fn check_unchanged(&self, newer: &Self) -> Result<(), Error> {
        let fixed = |it: &Self| (it.id, it.request_key, it.created_at, it.expires_at);
        if fixed(self) == fixed(newer)
            && self.project == newer.project
            && self.created_by == newer.created_by
        {
            return Ok(());
        }
        Err(invalid("project, id, request key, creator, creation and expiry never change"))
    }

    /// Checks the limits. Stores call this before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if something is too long, too many or malformed.
    pub fn check(&self) -> Result<(), Error> {
        Self::check_project(&self.project)?;
        if !self.id.is_made() {
            return Err(invalid("the id is not a UUID of version 7"));
        }
        self.details.check()?;
        if self.parts.len() > Self::MAX_PARTS {
            return Err(invalid(format!("there are more than {} artifacts", Self::MAX_PARTS)));
        }
        if self.created_by.len() > Self::MAX_CREATOR_BYTES {
            let most = Self::MAX_CREATOR_BYTES;
            return Err(invalid(format!("the name of the creator has more than {most} bytes")));
        }
        for (name, part) in &self.parts {
            PublicationPart::check_name(name)?;
            part.check()?;
        }
        if self.revision == 0 {
            return Err(invalid("the first revision is 1"));
        }
        if (self.status == PublicationStatus::Generating) != self.ended_at.is_none() {
            return Err(invalid("exactly what has ended has a time of its end"));
        }
        if self.status == PublicationStatus::Completed && self.missing().next().is_some() {
            return Err(invalid("an artifact of a completed publication is not stored"));
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "store a publication", message)
}
