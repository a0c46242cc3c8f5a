//! [`OpenLists`]: lists of which only a part was read.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{Error as ObjectError, ObjectMeta};
use tokio::time::Instant;

use crate::store::KeysRequest;

/// How many lists are kept open.
const MAX_OPEN: usize = 8;
/// How long a list is kept open. What it returns later may no longer be there.
const MAX_AGE: Duration = Duration::from_secs(10);

/// A list as the client reads it, page by page of the server.
pub(super) type ObjectList = BoxStream<'static, Result<ObjectMeta, ObjectError>>;

/// What a list is of. Its rest lacks what the filter had left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListFilter {
    tenant: Option<String>,
    kind: Option<String>,
    reserved: bool,
}

impl ListFilter {
    pub(super) fn of(request: &KeysRequest<'_>) -> Self {
        Self {
            tenant: request.tenant.map(str::to_owned),
            kind: request.kind.map(str::to_owned),
            reserved: request.reserved,
        }
    }
}

/// The rest of lists whose first pages were returned. A server sends 1,000 names at once, which are
/// several pages of a caller: the next one takes no request if it follows soon.
#[derive(Default)]
pub(super) struct OpenLists(Mutex<VecDeque<OpenList>>);

struct OpenList {
    filter: ListFilter,
    /// The last object of the page before.
    after: Path,
    rest: ObjectList,
    /// How many objects were read.
    read: usize,
    since: Instant,
}

impl OpenLists {
    /// Takes the list that continues after an object, with the number of objects that were
    /// read before.
    pub(super) fn take(&self, filter: &ListFilter, after: &Path) -> Option<(ObjectList, usize)> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = |it: &OpenList| it.filter == *filter && it.after == *after;
        let place = open.iter().position(is_wanted)?;
        let list = open.remove(place)?;
        (list.since.elapsed() < MAX_AGE).then_some((list.rest, list.read))
    }

    /// Keeps the rest of a list, and forgets the oldest one if there are too many.
    pub(super) fn keep(&self, filter: ListFilter, after: Path, rest: ObjectList, read: usize) {
        let list = OpenList { filter, after, rest, read, since: Instant::now() };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.pop_front();
        }
        open.push_back(list);
    }
}

impl fmt::Debug for OpenLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("OpenLists").field("open", &open).finish()
    }
}
