//! The problems of publishing.

use crate::publication::PublicationId;
use crate::service::http::problem::HttpProblem;
use crate::service::http::problem_kind::ProblemKind;
use crate::service::publish::{PublishError, PublishRefusal, WrongPart};

/// What a client sees of an error.
pub(super) fn problem_of(error: PublishError) -> HttpProblem {
    let refusal = match error {
        PublishError::Failed(error) => return error.into(),
        PublishError::Refused(refusal) => refusal,
    };
    let detail = refusal.to_string();
    match refusal {
        PublishRefusal::Unknown => HttpProblem::not_found(detail),
        PublishRefusal::Completed => HttpProblem::conflict(detail),
        PublishRefusal::Failed(_) => {
            HttpProblem::new(ProblemKind::PUBLICATION_FAILED).detail(detail)
        }
        PublishRefusal::Sent => HttpProblem::new(ProblemKind::ALREADY_UPLOADED).detail(detail),
        PublishRefusal::OtherRequest => HttpProblem::key_reused(),
        PublishRefusal::Wrong(WrongPart::Type { .. }) => HttpProblem::media_type(&detail),
        PublishRefusal::Wrong(_) => HttpProblem::new(ProblemKind::WRONG_CONTENT).detail(detail),
        PublishRefusal::Incomplete(parts) => {
            let only_missing = parts.values().all(|wrong| *wrong == WrongPart::Missing);
            let kind = if only_missing {
                ProblemKind::ARTIFACTS_MISSING
            } else {
                ProblemKind::WRONG_CONTENT
            };
            let wrong = parts.into_iter().map(|(name, wrong)| (name, name_of(&wrong).into()));
            HttpProblem::new(kind).detail(detail).artifacts(wrong.collect())
        }
        PublishRefusal::TooLarge(_) => HttpProblem::new(ProblemKind::LARGE_BODY).detail(detail),
        PublishRefusal::TooManyPending(_) => HttpProblem::too_many_pending(detail),
        PublishRefusal::Busy | PublishRefusal::Removing => HttpProblem::busy(detail),
    }
}

const fn name_of(wrong: &WrongPart) -> &'static str {
    match wrong {
        WrongPart::Missing => "missing",
        WrongPart::Size { .. } => "wrong-size",
        WrongPart::Hash => "wrong-hash",
        WrongPart::Type { .. } => "wrong-type",
        WrongPart::Record { .. } => "wrong-record",
    }
}

/// The id of a path. One that is malformed names nothing.
pub(crate) fn known(id: Option<PublicationId>) -> Result<PublicationId, HttpProblem> {
    id.ok_or_else(|| HttpProblem::not_found("there is no such publication"))
}
