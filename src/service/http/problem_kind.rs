//! [`ProblemKind`]: the table of problems, from which `/problems/{code}` and OpenAPI are made too.

use http::StatusCode;

/// A kind of problem, as clients tell it from others.
#[derive(Debug)]
pub(super) struct ProblemKind {
    pub(super) status: StatusCode,
    /// Stable: the end of the problem's `type`.
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
}

impl ProblemKind {
    /// The problem's `type`, where its description is.
    pub(super) fn uri(&self, prefix: &str) -> String {
        format!("{prefix}/problems/{}", self.code)
    }
}

/// Defines a constant for each row, and the list of all.
macro_rules! problems {
    ($($name:ident $status:ident $code:literal $title:literal $meaning:literal $remedy:literal)*) => {
        impl ProblemKind {
            /// All kinds, by status.
            pub(super) const ALL: &[&Self] = &[$(Self::$name),*];
            $(pub(super) const $name: &Self = &Self {
                status: StatusCode::$status,
                code: $code,
                title: $title,
                meaning: $meaning,
                remedy: $remedy,
            };)*
        }
    };
}

problems! {
    INVALID_REQUEST BAD_REQUEST "invalid-request"
        "The request is invalid"
        "A part of the request does not have the form that it must have, or is not known here. \
         The detail says which, and `parameter` names it if it is one of the query."
        "Correct the request. The same one fails each time."

    BROKEN_BODY BAD_REQUEST "broken-body"
        "The body of the request ended too early"
        "The connection broke, or the body has another length than its header says."
        "Send the request again."

    UNAUTHORIZED UNAUTHORIZED "unauthorized"
        "The request needs valid credentials"
        "The credentials are missing, wrong, expired or revoked. The answer does not say which."
        "Send a valid key: `Authorization: Bearer <key>`."

    FORBIDDEN FORBIDDEN "forbidden"
        "These credentials do not allow this"
        "The credentials are valid, but not for this project, kind or action. The answer is the same \
         whether or not the resource exists."
        "Ask the operator for a key that allows it."

    WRONG_SIGNATURE FORBIDDEN "wrong-signature"
        "The URL is not one that was signed"
        "The path, the query or the method is not that of a signed URL. The answer is the same \
         whether or not the publication exists."
        "Use the URL exactly as the publication names it."

    NOT_FOUND NOT_FOUND "not-found"
        "There is no such resource"
        "Nothing has this URL: the path is unknown, or no event of the aggregate was recorded by then, \
         or the state has another digest today."
        "Check the URL. URLs with a digest are found in the Content-Location of the version."

    BEYOND_HEAD NOT_FOUND "beyond-head"
        "The version does not exist yet"
        "The version is higher than the number of events that were recorded."
        "Ask for a lower version, or again when more events were recorded."

    METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED "method-not-allowed"
        "The resource does not have this method"
        "The path exists, but not with this method."
        "Use a method that the header Allow names."

    NOT_ACCEPTABLE NOT_ACCEPTABLE "not-acceptable"
        "No acceptable representation exists"
        "The header Accept admits none of the media types of this resource."
        "Accept application/json, or application/vnd.api+json without extensions."

    SLOW_BODY REQUEST_TIMEOUT "slow-body"
        "The body of the request took too long"
        "The body did not arrive within the time that the detail names."
        "Send the request again, and its body at once."

    CONFLICT CONFLICT "conflict"
        "What is stored does not allow this"
        "Something else is stored than the request expects, or others wrote at the same time. The \
         detail says which."
        "Load what is stored now, and decide again."

    PLAN_CHANGED CONFLICT "plan-changed"
        "The plan is another one by now"
        "The retention policy would now delete something else than in the plan whose id was sent. \
         Nothing was deleted."
        "Ask for the plan again with `dryRun`, and send its id."

    REQUEST_RUNNING CONFLICT "request-running"
        "The same request is being answered"
        "The first request with this idempotency key is not answered yet."
        "Send it again after the seconds in the header Retry-After to get its answer."

    ALREADY_UPLOADED CONFLICT "already-uploaded"
        "The artifact was uploaded before"
        "Each artifact of a publication is taken once, and this one has arrived."
        "Finalise the publication, or begin another one."

    ARTIFACTS_MISSING CONFLICT "artifacts-missing"
        "Artifacts have not been uploaded"
        "The publication cannot be completed before all of its artifacts have arrived. The detail \
         names those that have not."
        "Upload them, and finalise the publication again."

    HISTORY_GONE GONE "history-gone"
        "The beginning of the history is gone"
        "The first events of the aggregate were removed, and no snapshot from which this state could \
         be made is usable."
        "Ask for a newer version. The operator can restore snapshots from a backup."

    ANSWER_NOT_KEPT GONE "answer-not-kept"
        "The request was answered, and its answer was too large to be kept"
        "The write was made once, by the first request with this idempotency key."
        "Read what is stored."

    PUBLICATION_FAILED GONE "publication-failed"
        "The publication has failed"
        "It was given up, or not finalised in time. The detail says which. Nothing can be added to it."
        "Begin another publication. Artifacts that were stored need not be sent again if their size and \
         hash are declared."

    UPLOAD_EXPIRED GONE "upload-expired"
        "The signed URL has expired"
        "The URL was signed for a time that is over, or with a key that is not used any more."
        "Send the request that began the publication again, with the same key, to get other URLs."

    LENGTH_REQUIRED LENGTH_REQUIRED "length-required"
        "The length of the body is needed"
        "An artifact is only taken if the header Content-Length says how many bytes follow."
        "Send the header Content-Length."

    PRECONDITION_FAILED PRECONDITION_FAILED "precondition-failed"
        "The resource is not the expected one"
        "The entity tag is none of those in the header If-Match."
        "Load the resource again, and decide again."

    LARGE_BODY PAYLOAD_TOO_LARGE "large-body"
        "The body of the request is too large"
        "The body has more bytes than the detail names."
        "Send less at once."

    UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "unsupported-media-type"
        "The body has another media type"
        "The body of a write is JSON, and an artifact has the type that was declared."
        "Send `Content-Type: application/json`, or the type of the artifact."

    UNSATISFIABLE RANGE_NOT_SATISFIABLE "range-not-satisfiable"
        "The body does not have this range"
        "The range begins behind the end of the body, or has no bytes."
        "Ask for a range within the length that the header Content-Range names."

    KEY_REUSED UNPROCESSABLE_ENTITY "idempotency-key-reused"
        "Another request had this idempotency key"
        "A request with another method, path, query or body was sent with the same key."
        "Use a new key for each request."

    WRONG_CONTENT UNPROCESSABLE_ENTITY "wrong-content"
        "The content is not what was declared"
        "The size or the hash of an artifact differs, or it is a record that cannot be accepted. The \
         detail says which. It was not stored."
        "Upload the right content, which is possible until the publication expires, or begin another one."

    TOO_MANY_PENDING TOO_MANY_REQUESTS "too-many-pending"
        "Too many publications are pending"
        "The project has as many publications as it may have that are neither completed nor failed."
        "Finalise or abort some of them, or wait until they expire."

    TOO_MANY_REQUESTS TOO_MANY_REQUESTS "too-many-requests"
        "The quota is used up"
        "More requests were sent than the quota of the credentials allows, or too many had wrong \
         credentials."
        "Wait for the seconds in the header Retry-After."

    INTERNAL INTERNAL_SERVER_ERROR "internal"
        "The server failed"
        "An error that the server did not expect, such as a damaged store. Its logs tell more."
        "Tell the operator."

    INTERRUPTED INTERNAL_SERVER_ERROR "interrupted"
        "The job was interrupted"
        "The job ended without an outcome. A part of it may be done."
        "Start it again: it continues what is left to do."

    UNSUPPORTED NOT_IMPLEMENTED "unsupported"
        "This server does not support that"
        "The event source, the store or the build of this server cannot do it."
        "Do without it, or ask the operator."

    UNAVAILABLE SERVICE_UNAVAILABLE "unavailable"
        "A source of the state is not available"
        "The store or the event source does not answer now."
        "Send the request again after the seconds in the header Retry-After."

    UNCHECKED SERVICE_UNAVAILABLE "credentials-unchecked"
        "The credentials cannot be checked now"
        "What knows the credentials does not answer now. Nobody is admitted without it."
        "Send the request again after the seconds in the header Retry-After."

    BUSY SERVICE_UNAVAILABLE "busy"
        "The server is busy"
        "As much is being done for others as the server allows at once. The detail says what."
        "Send the request again after the seconds in the header Retry-After."

    TIMEOUT GATEWAY_TIMEOUT "timeout"
        "A source of the state did not answer"
        "The store or the event source took too long."
        "Send the request again later."

    OUT_OF_SPACE INSUFFICIENT_STORAGE "out-of-space"
        "There is no space left"
        "The store is full."
        "Tell the operator."
}
