//! [`PublicationDetails`]: what is said about a publication.

use crate::error::{Error, ErrorKind};

/// What somebody says about a publication. Nobody checks whether it is true.
///
/// Each text is UTF-8 and may contain any character, also line breaks and markup: whoever shows it
/// escapes it. An absent text and an empty one differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicationDetails {
    /// The collection within the project, such as `experiments`.
    pub collection: Option<String>,
    /// The title.
    pub title: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// A description of any length up to [`MAX_DESCRIPTION_BYTES`](Self::MAX_DESCRIPTION_BYTES).
    pub description: Option<String>,
    /// Tags, in the given order, each once.
    pub tags: Vec<String>,
    /// The owner of the repository.
    pub repo_owner: Option<String>,
    /// The name of the repository.
    pub repo_name: Option<String>,
    /// The commit.
    pub commit_sha: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The number of the pull request.
    pub pull_request: Option<u64>,
    /// The id of the run of the CI system.
    pub run_id: Option<String>,
    /// The page of that run. Any text: whoever links to it checks the scheme.
    pub run_url: Option<String>,
}

impl PublicationDetails {
    /// The maximum length of each text in bytes, except the description (inclusive).
    pub const MAX_TEXT_BYTES: usize = 1_024;
    /// The maximum length of the description in bytes (inclusive).
    pub const MAX_DESCRIPTION_BYTES: usize = 64 << 10;
    /// The maximum number of tags (inclusive).
    pub const MAX_TAGS: usize = 64;

    /// Checks the lengths and the number of tags. Stores call this before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a text is too long, or there are too many tags, or a tag is
    /// empty or given twice.
    pub fn check(&self) -> Result<(), Error> {
        let named = [
            ("collection", &self.collection),
            ("title", &self.title),
            ("author", &self.author),
            ("repository's owner", &self.repo_owner),
            ("repository's name", &self.repo_name),
            ("commit", &self.commit_sha),
            ("branch", &self.branch),
            ("id of the run", &self.run_id),
            ("URL of the run", &self.run_url),
        ];
        let texts = named.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?)));
        let tags = self.tags.iter().map(|tag| ("tag", tag));
        for (name, text) in texts.chain(tags) {
            if text.len() > Self::MAX_TEXT_BYTES {
                let message = format!("the {name} has more than {} bytes", Self::MAX_TEXT_BYTES);
                return Err(invalid(message));
            }
        }
        if self.description.as_ref().is_some_and(|it| it.len() > Self::MAX_DESCRIPTION_BYTES) {
            let most = Self::MAX_DESCRIPTION_BYTES;
            return Err(invalid(format!("the description has more than {most} bytes")));
        }
        if self.tags.len() > Self::MAX_TAGS {
            return Err(invalid(format!("there are more than {} tags", Self::MAX_TAGS)));
        }
        let is_repeated =
            |(at, tag): (usize, &String)| self.tags.iter().take(at).any(|it| it == tag);
        if self.tags.iter().any(String::is_empty) || self.tags.iter().enumerate().any(is_repeated) {
            return Err(invalid("a tag is empty or given twice"));
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "describe a publication", message)
}
