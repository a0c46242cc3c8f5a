//! The page of the inspector.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::inspect::INSPECTOR_PAGE;
use crate::service::http::problem::HttpProblem;

/// No page of another origin gets a handle of this one, or its bytes.
const ISOLATED: [HeaderName; 2] = [
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
];

impl Admitted<'_> {
    /// The same page for everybody: it has no data, and asks for them as any client does.
    pub(super) fn inspector(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let page = &*INSPECTOR_PAGE;
        let body = Bytes::from_static(page.text.as_bytes());
        let mut response = self.conditional("text/html; charset=utf-8", body, page.hash)?;
        let headers = response.headers_mut();
        // The page of another release may not know the answers of this one.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        for name in ISOLATED {
            headers.insert(name, HeaderValue::from_static("same-origin"));
        }
        if let Ok(policy) = HeaderValue::from_str(&page.policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        Ok(response)
    }
}
