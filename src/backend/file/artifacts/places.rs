//! [`ArtifactPlaces`]: where the files of artifacts are.

use std::path::{Path, PathBuf};

use crate::artifact::ArtifactId;
use crate::error::{Error, ErrorKind};
use crate::hex::hex;
use crate::key::AggregateKey;

/// The longest tenant whose folder shows its name. Twice as many digits fit everywhere.
const MAX_SHOWN_BYTES: usize = 64;

/// The files below one directory: `a/{tenant}/{first byte}/{id}` is an artifact, and `tmp` has what
/// is being written.
///
/// The names have only digits and lower-case letters, because some file systems do not distinguish
/// the case, and some reserve names.
#[derive(Clone, Debug)]
pub(super) struct ArtifactPlaces {
    root: PathBuf,
}

impl ArtifactPlaces {
    /// The number of folders of an artifact below the root.
    const FOLDERS: usize = 3;

    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder of the files that are being written.
    pub(super) fn drafts(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The folder of all tenants.
    pub(super) fn all(&self) -> PathBuf {
        self.root.join("a")
    }

    /// The folder of a tenant's artifacts whose ids begin with this byte.
    pub(super) fn folder(&self, tenant: &str, first: u8) -> Result<PathBuf, Error> {
        let limit = AggregateKey::MAX_PART_BYTES;
        if tenant.len() > limit {
            let message = format!("the tenant is longer than {limit} bytes");
            return Err(Error::new(ErrorKind::InvalidInput, "name an artifact", message));
        }
        let bytes = tenant.as_bytes();
        let name = if bytes.len() <= MAX_SHOWN_BYTES {
            format!("t{}", hex(bytes))
        } else {
            // The hash of a text names it as its bytes do.
            format!("h{}", ArtifactId::of(bytes))
        };
        Ok(self.all().join(name).join(hex(&[first])))
    }

    pub(super) fn artifact(&self, tenant: &str, id: &ArtifactId) -> Result<PathBuf, Error> {
        let [first, ..] = *id.as_bytes();
        Ok(self.folder(tenant, first)?.join(id.to_string()))
    }

    /// The folders above an artifact that the store created, the innermost one first.
    pub(super) fn folders(place: &Path) -> impl DoubleEndedIterator<Item = &Path> {
        let above: Vec<_> = place.ancestors().skip(1).take(Self::FOLDERS).collect();
        above.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_the_docs_say() {
        let places = ArtifactPlaces::below(Path::new("/s"));
        let id = ArtifactId::of(b"");
        let named = |tenant: &str| places.artifact(tenant, &id).unwrap();
        assert_eq!(named(""), Path::new(&format!("/s/a/t/e3/{id}")));
        assert_eq!(named("A/"), Path::new(&format!("/s/a/t412f/e3/{id}")));
        let (shown, hashed) = ("x".repeat(64), "x".repeat(65));
        assert_eq!(named(&shown), Path::new(&format!("/s/a/t{}/e3/{id}", "78".repeat(64))));
        let hash = ArtifactId::of(hashed.as_bytes());
        assert_eq!(named(&hashed), Path::new(&format!("/s/a/h{hash}/e3/{id}")));
        assert!(places.folder(&"x".repeat(65_535), 0).is_ok());
        let error = places.folder(&"x".repeat(65_536), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let place = named("");
        let folders: Vec<_> = ArtifactPlaces::folders(&place).collect();
        assert_eq!(folders, ["/s/a/t/e3", "/s/a/t", "/s/a"].map(Path::new));
    }
}
