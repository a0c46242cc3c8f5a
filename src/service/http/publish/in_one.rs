//! Publishing in one call: a form with what is said about the publication, and its artifacts.
//!
//! The artifacts are stored first, one after the other. Then the publication is begun, with their sizes
//! and hashes, and completed. So nothing of it is seen before all of it is there, and a client that
//! leaves earlier leaves at most artifacts to which no publication refers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Body;
use multer::{Field, Multipart};
use tokio::sync::Mutex;

use super::MAX_BODY;
use super::body_pieces::{BodyPieces, EarlyEnd, ended_early};
use super::problem::problem_of;
use super::publication_document::document;
use super::publishing::Publishing;
use super::{begin, by_document};
use crate::artifact::ArtifactContent;
use crate::error::{BoxError, Error};
use crate::publication::{Publication, PublicationPart};
use crate::service::http::body::DeliveryBody;
use crate::service::http::guard::Permit;
use crate::service::http::media::Media;
use crate::service::http::problem::HttpProblem;
use crate::service::http::problem_kind::ProblemKind;
use crate::service::http::served::Served;
use crate::service::http::write::{self, IDEMPOTENCY_KEY, Once, WriteAnswer};
use crate::service::publish::{PublishRefusal, PublishRequest, Published, WrongPart};

/// The part with what is said about the publication.
const DOCUMENT: &str = "publication";
/// A body is read in pieces of at most so many bytes.
const PIECE: usize = 64 << 10;
/// The parts of a form are separated by lines and have headers. All of them together, and a piece
/// that was not taken yet, have at most so many bytes.
const MAX_OVERHEAD: usize = 512 << 10;

/// Whether a request is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    media.eq_ignore_ascii_case(b"multipart/form-data")
}

/// Reads what the document of a form asks for.
type ReadDocument = fn(&[u8]) -> Result<PublishRequest, HttpProblem>;

/// In which form a client publishes.
#[derive(Clone, Copy)]
struct Spoken {
    asked: ReadDocument,
    answer: fn(&str, &Published) -> WriteAnswer,
}

/// A form whose project is in the path, or in its document.
pub(crate) struct SentForm {
    form: PublicationForm,
    /// The document, if it was read already.
    document: Option<Bytes>,
    spoken: Spoken,
}

impl SentForm {
    /// Begins to read a form that names no project.
    pub(crate) fn open<B>(headers: &HeaderMap, body: B) -> Result<Self, HttpProblem>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let spoken = Spoken {
            asked: begin::asked,
            answer: |prefix, published| {
                let document = document(prefix, &published.publication).to_string();
                begin::created(prefix, published, document)
            },
        };
        let form = PublicationForm::new(body, boundary(headers)?);
        Ok(Self { form, document: None, spoken })
    }

    /// Reads the project in the document of a form that names it there.
    pub(crate) async fn project(&mut self) -> Result<String, HttpProblem> {
        self.spoken =
            Spoken { asked: by_document::asked, answer: |_, it| by_document::at_once(it) };
        let document = match self.form.first().await {
            Ok(document) => document,
            Err(why) => return Err(self.form.problem(why)),
        };
        let project = by_document::project_of(&document)?;
        self.document = Some(document);
        Ok(project)
    }
}

/// Stores the artifacts of a form, and publishes them.
pub(crate) async fn publish(
    served: &Arc<Served>,
    request: &Parts,
    permit: &Permit<'_>,
    media: Option<Media>,
    sent: SentForm,
) -> Result<Response<DeliveryBody>, HttpProblem> {
    let media = media.ok_or_else(HttpProblem::not_acceptable)?;
    let publishing = served.publishing()?.clone();
    let (prefix, project) = (served.prefix.clone(), permit.target().tenant.clone());
    let by = permit.actor().to_owned();
    let SentForm { mut form, document, spoken: Spoken { asked, answer } } = sent;
    let read = form.read(&publishing, &project, (document, asked)).await;
    let mut request_to_publish = read.map_err(|why| form.problem(why))?;
    let nothing = Bytes::new();
    let once = (&nothing, Once::ByItself);
    write::make(served, request, permit, Some(media), once, move |_, key| async move {
        request_to_publish.key = key;
        let published =
            publishing.publisher.publish_at_once(&project, request_to_publish, &by).await;
        Ok(answer(&prefix, &published.map_err(problem_of)?))
    })
    .await
}

/// The line that separates the parts.
fn boundary(headers: &HeaderMap) -> Result<String, HttpProblem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(HttpProblem::media_type("send the form without Content-Encoding"));
    }
    // A form is the one body that a page of another site can send without asking. It cannot set these.
    if !headers.contains_key(AUTHORIZATION) && !headers.contains_key(IDEMPOTENCY_KEY) {
        let detail = "send a form with Authorization or with Idempotency-Key";
        return Err(HttpProblem::bad_request(detail));
    }
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let text = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    match multer::parse_boundary(text) {
        Ok(boundary) if values.next().is_none() => Ok(boundary),
        _ => Err(HttpProblem::bad_request("the form has no boundary, or several")),
    }
}

/// A form that is being read.
struct PublicationForm {
    parts: Multipart<'static>,
    /// How many bytes were read and are not part of a content.
    overhead: Arc<AtomicUsize>,
    early: EarlyEnd,
}

impl PublicationForm {
    fn new<B>(body: B, boundary: String) -> Self
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let (overhead, early) = (Arc::<AtomicUsize>::default(), EarlyEnd::default());
        let pieces = pieces(BodyPieces::of(body), Arc::clone(&overhead), Arc::clone(&early));
        Self { parts: Multipart::new(pieces, boundary), overhead, early }
    }

    /// Why the body ended early, if it did, and otherwise this problem.
    fn problem(&self, other: HttpProblem) -> HttpProblem {
        self.early.get().map_or(other, |kind| HttpProblem::new(kind))
    }

    /// Reads the document, which must be there.
    async fn first(&mut self) -> Result<Bytes, HttpProblem> {
        match self.next().await? {
            Some(mut field) if field.name() == Some(DOCUMENT) => self.document(&mut field).await,
            _ => Err(HttpProblem::bad_request(format!("the part {DOCUMENT:?} comes first"))),
        }
    }

    /// Reads the whole form and stores its artifacts. Returns what is to be published.
    async fn read(
        &mut self,
        publishing: &Publishing,
        project: &str,
        (document, asked): (Option<Bytes>, ReadDocument),
    ) -> Result<PublishRequest, HttpProblem> {
        let checked = |request| publishing.publisher.checked(project, request).map_err(problem_of);
        let mut seen = BTreeSet::new();
        let mut request = checked(asked(document.as_deref().unwrap_or(b"{}"))?)?;
        // Without a list of artifacts, those that are sent are published.
        let mut is_open = request.parts.is_empty();
        while let Some(mut field) = self.next().await? {
            let name = field.name().unwrap_or_default().to_owned();
            let is_first = document.is_none() && seen.is_empty();
            if !seen.insert(name.clone()) {
                let detail = format!("the part {name:?} stands twice");
                return Err(HttpProblem::bad_request(detail));
            }
            if name == DOCUMENT && is_first {
                request = checked(asked(&self.document(&mut field).await?)?)?;
                is_open = request.parts.is_empty();
                continue;
            }
            if name == DOCUMENT {
                let detail = format!("the part {DOCUMENT:?} comes first");
                return Err(HttpProblem::bad_request(detail));
            }
            PublicationPart::check_name(&name)?;
            let declared = match request.parts.get(&name) {
                Some(declared) => declared.clone(),
                None if is_open && request.parts.len() < Publication::MAX_PARTS => {
                    PublicationPart::new()
                }
                None => {
                    let detail = format!("{name:?} is none of the artifacts of the publication");
                    return Err(HttpProblem::new(ProblemKind::WRONG_CONTENT).detail(detail));
                }
            };
            if field.file_name().is_none() {
                let detail = format!(
                    "the part {name:?} is no file: put what is said about the publication into the \
                     part {DOCUMENT:?}, which comes first"
                );
                return Err(HttpProblem::bad_request(detail));
            }
            let content_type = field.headers().get(CONTENT_TYPE).map(HeaderValue::to_str);
            let content_type = content_type.transpose().map_err(|_| {
                HttpProblem::bad_request(format!("the type of {name:?} is no ASCII text"))
            })?;
            let content_type = content_type.map(str::to_owned);
            let field = Arc::new(Mutex::new(field));
            let content = content(Arc::clone(&field), Arc::clone(&self.overhead));
            let publisher = &publishing.publisher;
            let kept = publisher.keep(project, &declared, content_type.as_deref(), content).await;
            let artifact = kept.map_err(problem_of)?;
            // The content of one that is stored already was not read.
            let mut rest = field.lock().await;
            while let Some(piece) = taken(&mut rest, &self.overhead).await {
                piece.map_err(|_| HttpProblem::new(ProblemKind::BROKEN_BODY))?;
            }
            let part = PublicationPart::new().size(artifact.size).sha256(artifact.id);
            request.parts.insert(name, part.content_type(artifact.content_type));
        }
        let missing = request.parts.keys().filter(|name| !seen.contains(*name));
        let missing: Vec<_> = missing.map(|name| (name.clone(), WrongPart::Missing)).collect();
        if !missing.is_empty() {
            let refusal = PublishRefusal::Incomplete(missing.into_iter().collect());
            return Err(problem_of(refusal.into()));
        }
        Ok(request)
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>, HttpProblem> {
        let next = self.parts.next_field().await;
        next.map_err(|error| HttpProblem::bad_request(format!("the form is not usable: {error}")))
    }

    async fn document(&self, field: &mut Field<'static>) -> Result<Bytes, HttpProblem> {
        let mut whole = BytesMut::new();
        while let Some(piece) = taken(field, &self.overhead).await {
            let piece = piece.map_err(|_| HttpProblem::new(ProblemKind::BROKEN_BODY))?;
            if whole.len() + piece.len() > MAX_BODY {
                let detail = format!("send at most {MAX_BODY} bytes about the publication");
                return Err(HttpProblem::new(ProblemKind::LARGE_BODY).detail(detail));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

/// The next piece of a part.
async fn taken(
    field: &mut Field<'static>,
    overhead: &AtomicUsize,
) -> Option<Result<Bytes, multer::Error>> {
    let piece = field.chunk().await.transpose();
    if let Some(Ok(piece)) = &piece {
        overhead.fetch_sub(piece.len(), Ordering::Relaxed);
    }
    piece
}

fn content(field: Arc<Mutex<Field<'static>>>, overhead: Arc<AtomicUsize>) -> ArtifactContent {
    let pieces = stream::unfold(Some(field), move |left| {
        let overhead = Arc::clone(&overhead);
        async move {
            let field = left?;
            let piece = taken(&mut *field.lock().await, &overhead).await?;
            Some(match piece {
                Ok(piece) => (Ok(piece), Some(field)),
                Err(_) => (Err(ended_early()), None),
            })
        }
    });
    pieces.boxed()
}

/// The pieces of a body for the parser. It keeps what it was given until it is a whole header or
/// content, so this ends when that has become too much.
fn pieces(
    body: BodyPieces,
    overhead: Arc<AtomicUsize>,
    early: EarlyEnd,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    stream::unfold(Some((body, Bytes::new())), move |left| {
        let (overhead, early) = (Arc::clone(&overhead), Arc::clone(&early));
        async move {
            let (mut body, mut whole) = left?;
            // The parser takes all that is ready before it looks at it.
            tokio::task::yield_now().await;
            let mut end = None;
            if whole.is_empty() {
                match body.next().await {
                    Ok(Some(piece)) => whole = piece,
                    Ok(None) => return None,
                    Err(kind) => end = Some(kind),
                }
            }
            let piece = whole.split_to(whole.len().min(PIECE));
            let held = overhead.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
            if held > MAX_OVERHEAD {
                end = Some(ProblemKind::LARGE_BODY);
            }
            Some(match end {
                Some(kind) => {
                    let _ = early.set(kind);
                    (Err(ended_early()), None)
                }
                None => (Ok(piece), Some((body, whole))),
            })
        }
    })
}
