//! The aggregates of a project.

use http::Response;
use serde_json::{Map, Value, json};

use super::Admitted;
use crate::key::AggregateKey;
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::service::http::query_parameter::QueryParameter;
use crate::service::http::segment;
use crate::store::Cursor;

impl Admitted<'_> {
    /// A page of the aggregates that have snapshots, by kind and then in the order of the store.
    pub(super) async fn entities(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let tenant = &self.permit.target().tenant;
        let only = self.query.text(QueryParameter::FILTER_KIND.name);
        let list = format!("entities of {tenant:?}, {only:?}");
        let (size, after) = self.page(&list)?;
        let (from, mut cursor) = position(after)?;
        let mut data: Vec<Value> = Vec::new();
        let mut next = None;
        for admin in self.served.kinds.iter() {
            let kind = admin.kind();
            if only.is_some_and(|only| only != kind) || kind < from.as_str() {
                continue;
            }
            if kind != from {
                cursor = None;
            }
            loop {
                let room = size.saturating_sub(data.len());
                if room == 0 {
                    next = Some(written(kind, cursor.as_ref()));
                    break;
                }
                let page = admin.keys(tenant, cursor.as_ref(), room).await?;
                data.extend(page.items.iter().map(|key| self.resource(key)));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            if next.is_some() {
                break;
            }
        }
        let path = format!("{}/projects/{}/entities", self.served.prefix, segment::encode(tenant));
        let next = next.map(|cursor| self.served.cursors.seal(&list, &cursor));
        let kind = only.map(|kind| (QueryParameter::FILTER_KIND.name, kind.to_owned()));
        self.list(&path, &data, kind.into_iter().collect(), size, next)
    }

    fn resource(&self, key: &AggregateKey) -> Value {
        json!({
            "type": key.kind(),
            "id": key.id(),
            "links": { "self": self.served.links(key).entity() },
        })
    }

    /// Answers with a page of a list, and the link to the next one.
    pub(super) fn list(
        &self,
        path: &str,
        data: &[Value],
        filters: Vec<(&str, String)>,
        size: usize,
        next: Option<String>,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        // JSON:API: the link that generated this document, so with its query.
        let own = match self.request.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut links = Map::from_iter([("self".to_owned(), own.into())]);
        if let Some(next) = next {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filters);
            query.append_pair(QueryParameter::PAGE_SIZE.name, &size.to_string());
            query.append_pair(QueryParameter::PAGE_AFTER.name, &next);
            links.insert("next".to_owned(), format!("{path}?{}", query.finish()).into());
        }
        let document = json!({ "jsonapi": { "version": "1.1" }, "data": data, "links": links });
        self.other(self.media.name(), document.to_string().into_bytes())
    }
}

/// The kind and the store's cursor after which a list continues.
fn written(kind: &str, cursor: Option<&Cursor>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(kind.len() + 16);
    // A kind has at most 65,535 bytes.
    bytes.extend_from_slice(&u16::try_from(kind.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(kind.as_bytes());
    if let Some(cursor) = cursor {
        bytes.extend_from_slice(cursor.as_bytes());
    }
    bytes
}

/// Reverses [`written`].
fn position(bytes: Option<Vec<u8>>) -> Result<(String, Option<Cursor>), HttpProblem> {
    let Some(bytes) = bytes else { return Ok((String::new(), None)) };
    let read = || {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        let (kind, cursor) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        let cursor = (!cursor.is_empty()).then(|| Cursor::new(cursor));
        Some((std::str::from_utf8(kind).ok()?.to_owned(), cursor))
    };
    read().ok_or_else(HttpProblem::foreign_cursor)
}
