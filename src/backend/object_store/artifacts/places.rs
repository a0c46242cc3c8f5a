//! [`Places`]: the names of the objects of artifacts and uploads.

use object_store::path::Path;

use crate::artifact::{ArtifactId, Upload};
use crate::backend::object_store::root::{MAX_NAME_BYTES, ObjectRoot, object_path};
use crate::backend::object_store::segment::put_segment;
use crate::error::{Error, ErrorKind};

/// `u/`, three slashes, the longest name of an upload, and an id.
const UPLOAD_BYTES: usize = 2 + 3 + 3 * Upload::MAX_NAME_BYTES + 64;

/// The objects below one root: `a/{tenant}/{id}` is an artifact, and `u/{tenant}/{name}/{id}` is
/// what a client sent and nobody has checked.
#[derive(Clone, Debug)]
pub(super) struct Places {
    root: ObjectRoot,
}

impl Places {
    pub(super) fn below(root: &str) -> Result<Self, Error> {
        Ok(Self { root: ObjectRoot::parse(root)? })
    }

    /// The longest tenant that fits, whatever its bytes.
    pub(super) const fn max_tenant_bytes(&self) -> usize {
        self.max_segment_bytes() / 3
    }

    const fn max_segment_bytes(&self) -> usize {
        MAX_NAME_BYTES - UPLOAD_BYTES - self.root.len()
    }

    pub(super) fn artifact(&self, tenant: &str, id: &ArtifactId) -> Result<Path, Error> {
        object_path(&format!("{}/{id}", self.of_tenant('a', tenant)?))
    }

    pub(super) fn artifacts(&self, tenant: &str) -> Result<Path, Error> {
        object_path(&self.of_tenant('a', tenant)?)
    }

    pub(super) fn upload(&self, upload: Upload<'_>) -> Result<Path, Error> {
        let mut name = self.of_tenant('u', upload.tenant)?;
        name.push('/');
        put_segment(&mut name, upload.name);
        object_path(&format!("{name}/{}", upload.artifact.id))
    }

    /// The folder of the uploads of all tenants.
    pub(super) fn uploads(&self) -> Result<Path, Error> {
        self.root.join("u")
    }

    fn of_tenant(&self, folder: char, tenant: &str) -> Result<String, Error> {
        let mut name = format!("{}{folder}/", self.root.as_str());
        let before = name.len();
        // An escaped text is not shorter, so the length is bounded before anything is escaped.
        if tenant.len() <= self.max_segment_bytes() {
            put_segment(&mut name, tenant);
        }
        if (1..=self.max_segment_bytes()).contains(&(name.len() - before)) {
            return Ok(name);
        }
        let limit = self.max_segment_bytes();
        Err(invalid(&format!("the tenant takes more than {limit} bytes in the name of an object")))
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "name an object", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifact;
    use crate::backend::object_store::root::MAX_ROOT_BYTES;

    #[test]
    fn names_are_where_the_docs_say_and_no_longer_than_servers_take() {
        let artifact = Artifact::of(b"");
        let id = artifact.id;
        let places = Places::below("/data/").unwrap();
        let named = |upload| places.upload(upload).unwrap().to_string();
        let upload = Upload::new("a/b", "..", &artifact);
        assert_eq!(named(upload), format!("data/u/a~2fb/~2e~2e/{id}"));
        assert_eq!(places.artifact("", &id).unwrap().to_string(), format!("data/a/~/{id}"));
        assert_eq!(places.artifacts("T").unwrap().to_string(), "data/a/T");
        assert_eq!(Places::below("").unwrap().uploads().unwrap().to_string(), "u");
        for root in [String::new(), "r".repeat(MAX_ROOT_BYTES)] {
            let places = Places::below(&root).unwrap();
            let tenant = "/".repeat(places.max_tenant_bytes());
            let name = "/".repeat(Upload::MAX_NAME_BYTES);
            let longest = places.upload(Upload::new(&tenant, &name, &artifact)).unwrap();
            assert!((1_020..=MAX_NAME_BYTES).contains(&longest.as_ref().len()), "{longest}");
            let more = format!("{tenant}/");
            assert_eq!(places.artifacts(&more).unwrap_err().kind(), ErrorKind::InvalidInput);
            assert!(places.artifacts(&"a".repeat(places.max_segment_bytes())).is_ok());
            assert!(places.artifacts(&"a".repeat(places.max_segment_bytes() + 1)).is_err());
        }
        for root in ["a//b", "..", &"r".repeat(MAX_ROOT_BYTES + 1)] {
            assert_eq!(Places::below(root).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
