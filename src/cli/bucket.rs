//! [`open_bucket`]: a store in object storage by its URL.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, parse_url_opts};
use url::Url;

use super::failure::CliFailure;
use super::store_url::StoreUrl;
use crate::backend::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};

/// A bucket, and a name in it.
type PlaceInBucket = (Arc<dyn ObjectStore>, Path);

/// Whether a command may make the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BucketUse {
    Look,
    /// The store must exist.
    Change,
    ChangeOrMake,
}

/// Opens the store at a URL like `s3://BUCKET/ROOT`. Credentials and endpoints are those of the
/// environment, by the names that the clouds' own tools use.
pub(crate) async fn open_bucket(
    url: &str,
    timeout: Duration,
    how: BucketUse,
) -> Result<ObjectStoreSnapshots, CliFailure> {
    let usage = |error: &dyn std::fmt::Display| {
        CliFailure::Usage(format!("the URL of the bucket is not valid: {error}"))
    };
    let parsed = Url::parse(url).map_err(|error| usage(&error))?;
    let (objects, root) = parse_url_opts(&parsed, environment()).map_err(|error| usage(&error))?;
    let objects: Arc<dyn ObjectStore> = objects.into();
    let options = ObjectStoreOptions::new().timeout(timeout);
    if how != BucketUse::ChangeOrMake {
        let look = options.clone().read_only(true);
        let store =
            ObjectStoreSnapshots::open_with(Arc::clone(&objects), root.as_ref(), look).await?;
        if how == BucketUse::Look {
            return Ok(store);
        }
    }
    Ok(ObjectStoreSnapshots::open_with(objects, root.as_ref(), options).await?)
}

/// Returns the bucket and the path of an archive at a URL like `s3://BUCKET/PATH`, or `None` if the
/// text is the path of a file.
pub(crate) fn archive_in_bucket(
    text: &std::path::Path,
) -> Result<Option<PlaceInBucket>, CliFailure> {
    let Some(url) = text.to_str().filter(|text| text.contains("://")) else { return Ok(None) };
    match StoreUrl::parse(url).map_err(CliFailure::Usage)? {
        StoreUrl::Bucket(url) => connect(&url).map(Some),
        StoreUrl::File(_) | StoreUrl::Postgres(_) => Ok(None),
    }
}

fn connect(url: &str) -> Result<PlaceInBucket, CliFailure> {
    let usage = |error: &dyn std::fmt::Display| {
        CliFailure::Usage(format!("the URL of the bucket is not valid: {error}"))
    };
    let parsed = Url::parse(url).map_err(|error| usage(&error))?;
    let (objects, path) = parse_url_opts(&parsed, environment()).map_err(|error| usage(&error))?;
    Ok((objects.into(), path))
}

/// The variables that `object_store` knows, such as `AWS_ACCESS_KEY_ID`.
fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let is_known = |(name, _): &(String, String)| {
        ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|cloud| name.starts_with(cloud))
    };
    std::env::vars_os().filter_map(text).filter(is_known)
}
