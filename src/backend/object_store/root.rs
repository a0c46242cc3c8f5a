//! [`ObjectRoot`]: where the names of all objects begin.

use object_store::path::Path;

use crate::error::{Error, ErrorKind};

/// The longest name of an object in S3, Google Cloud Storage and Azure, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 1_024;
/// The longest root, in bytes. It leaves room for keys.
pub(super) const MAX_ROOT_BYTES: usize = 300;

/// The folder of a store in its bucket: empty, or ends with a slash.
#[derive(Clone, Debug)]
pub(super) struct ObjectRoot(String);

impl ObjectRoot {
    /// Reads a root such as `app/snapshots`.
    pub(super) fn parse(root: &str) -> Result<Self, Error> {
        let path = object_path(root)?;
        let root = path.as_ref();
        if root.len() > MAX_ROOT_BYTES {
            let bytes = root.len();
            return Err(invalid(format!(
                "the root is {bytes} bytes long, but the limit is {MAX_ROOT_BYTES}: shorten it"
            )));
        }
        Ok(Self(if root.is_empty() { String::new() } else { format!("{root}/") }))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The object or the folder of this name below the root.
    pub(super) fn join(&self, name: &str) -> Result<Path, Error> {
        object_path(&format!("{}{name}", self.0))
    }
}

/// Parses a name, and does not encode it again as `Path::from` would.
pub(super) fn object_path(name: &str) -> Result<Path, Error> {
    Path::parse(name).map_err(|error| {
        invalid(format!("\"{name}\" is no path of an object: choose another root"))
            .with_source(error)
    })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "name an object", message)
}
