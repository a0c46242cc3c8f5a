//! Opening a store: its marker, and whether the server honours conditions.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Error as ObjectError, UpdateVersion};

use super::error::{RequestEffect, failed};
use super::layout::Layout;
use super::options::ObjectStoreOptions;
use super::remote::{ObjectAnswer, Remote};
use crate::error::{Error, ErrorKind, Retry};
use crate::random::random_number;

const OPEN: &str = "open an object store";
/// The content of the marker. A later format has a higher number.
const MARKER: &[u8] = b"snapfold object store, format 1\n";
const MARKER_START: &[u8] = b"snapfold object store, format ";
const MAX_MARKER_BYTES: u64 = 1_024;
/// The folder of objects that only exist during a test.
const PROBES: &str = "probe";
/// What a test writes without a right condition, and what it writes with one.
const FIRST: &[u8] = b"probe";
const SECOND: &[u8] = b"probe, changed";

/// Checks the marker and the server, and sets how the server wants its entity tags.
pub(super) async fn open(
    remote: &mut Remote,
    layout: &Layout,
    options: &ObjectStoreOptions,
) -> Result<(), Error> {
    let path = layout.other("snapfold")?;
    let is_there = has_marker(remote, &path).await?;
    if options.read_only {
        let message = "there is no store below this root: check the bucket and the root";
        return if is_there { Ok(()) } else { Err(Error::new(ErrorKind::Store, OPEN, message)) };
    }
    if !is_there && is_used(remote, layout).await? && !has_marker(remote, &path).await? {
        let message = "the root has objects that are not snapfold's: choose another root";
        return Err(Error::new(ErrorKind::InvalidInput, OPEN, message));
    }
    // A server that refuses a write once may only be busy.
    if !probe(remote, layout).await? && !probe(remote, layout).await? {
        return Err(unsuitable("refuses If-Match although the ETag is right"));
    }
    if !is_there {
        let created = remote.write_if(&path, Bytes::from_static(MARKER), None).await;
        // The answer may be lost, and another process may open the store at the same time.
        if let Err(error) = created
            && !has_marker(remote, &path).await?
        {
            return Err(failed(OPEN, RequestEffect::Write, &error));
        }
    }
    Ok(())
}

/// A name that no other process uses.
pub(super) fn probe_name() -> Result<String, Error> {
    Ok(format!("{:016x}", random_number(OPEN)?))
}

async fn has_marker(remote: &Remote, path: &Path) -> Result<bool, Error> {
    let answer = remote.read(path, None, MAX_MARKER_BYTES).await;
    let answer = answer.map_err(|error| failed(OPEN, RequestEffect::Read, &error))?;
    match answer {
        ObjectAnswer::Missing => Ok(false),
        ObjectAnswer::Object(bytes, _) if bytes == MARKER => Ok(true),
        ObjectAnswer::Object(bytes, _) if bytes.starts_with(MARKER_START) => {
            let message = "a newer release of snapfold wrote this store: update snapfold";
            Err(Error::new(ErrorKind::Unsupported, OPEN, message))
        }
        _ => {
            let message = format!("{path} is not the marker of a store: choose another root");
            Err(Error::new(ErrorKind::InvalidInput, OPEN, message))
        }
    }
}

/// Returns whether there is any object below the root that is neither an artifact nor left behind by a
/// test.
async fn is_used(remote: &Remote, layout: &Layout) -> Result<bool, Error> {
    let own = [layout.other(PROBES)?, layout.other("a")?, layout.other("u")?];
    let mut listed = remote.list(&layout.root()?, None);
    loop {
        let next = listed.try_next().await;
        match next.map_err(|error| failed(OPEN, RequestEffect::Read, &error))? {
            None => return Ok(false),
            Some(object) if own.iter().any(|own| object.location.prefix_matches(own)) => {}
            Some(_) => return Ok(true),
        }
    }
}

/// Tests with an object of its own whether the server refuses what a condition forbids. Returns whether
/// it accepts what a condition allows.
async fn probe(remote: &mut Remote, layout: &Layout) -> Result<bool, Error> {
    let path = layout.other(&format!("{PROBES}/{}", probe_name()?))?;
    let probed = probe_conditions(remote, &path).await;
    // What cannot be deleted does no harm.
    drop(remote.delete(vec![path]).await);
    probed
}

async fn probe_conditions(remote: &mut Remote, path: &Path) -> Result<bool, Error> {
    let write_this = |remote: &Remote, version, content| {
        let (path, store) = (path.clone(), Remote { store: remote.store.clone(), ..*remote });
        async move { store.write_if(&path, Bytes::from_static(content), version).await }
    };
    let write = |remote: &Remote, version| write_this(remote, version, FIRST);
    let version = match write(remote, None).await {
        Ok(version) if version.e_tag.is_some() || version.version.is_some() => version,
        Ok(_) => return Err(unsuitable("returns no ETag for a write")),
        Err(error) => return Err(refused(&error)),
    };
    if is_accepted(write(remote, None).await)? {
        return Err(unsuitable("ignores If-None-Match on writes"));
    }
    for bare_tags in [false, true] {
        remote.bare_tags = bare_tags;
        if is_accepted(write(remote, Some(wrong(&version))).await)? {
            return Err(unsuitable("ignores If-Match on writes"));
        }
        let second = write_this(remote, Some(version.clone()), SECOND).await;
        // A client that repeats a request that had an effect reports that the condition failed.
        if is_accepted(second)? || has_content(remote, path, SECOND).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn has_content(remote: &Remote, path: &Path, content: &[u8]) -> Result<bool, Error> {
    let answer = remote.read(path, None, MAX_MARKER_BYTES).await;
    let answer = answer.map_err(|error| failed(OPEN, RequestEffect::Read, &error))?;
    Ok(matches!(answer, ObjectAnswer::Object(bytes, _) if bytes == content))
}

/// Returns whether a conditional write was made. Fails if it was refused for another reason.
fn is_accepted(written: Result<UpdateVersion, ObjectError>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(
            ObjectError::AlreadyExists { .. }
            | ObjectError::Precondition { .. }
            | ObjectError::NotFound { .. },
        ) => Ok(false),
        Err(error) => Err(refused(&error)),
    }
}

/// Another version than the given one, in the same form.
fn wrong(version: &UpdateVersion) -> UpdateVersion {
    let other = |text: &String| {
        let mut text = text.clone();
        if let Some(at) = text.rfind(|c: char| c.is_ascii_alphanumeric()) {
            let digit = if text.get(at..=at) == Some("1") { "2" } else { "1" };
            text.replace_range(at..=at, digit);
        }
        text
    };
    UpdateVersion {
        e_tag: version.e_tag.as_ref().map(other),
        version: version.version.as_ref().map(other),
    }
}

fn refused(error: &ObjectError) -> Error {
    let failed = failed(OPEN, RequestEffect::Write, error);
    if failed.kind() == ErrorKind::Unsupported {
        return unsuitable("has no conditional writes").with_source(failed);
    }
    // The probe was an object of its own.
    let retry = if failed.is_retryable() { Retry::Later } else { Retry::Never };
    failed.with_retry(retry)
}

fn unsuitable(what: &str) -> Error {
    let message = format!(
        "the server {what}, so that concurrent writers would lose snapshots: use another server, or \
         FileStore for a local disk"
    );
    Error::new(ErrorKind::Unsupported, OPEN, message)
}
