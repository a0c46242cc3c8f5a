//! [`Gate`] and [`Permit`]: no resource is read without the one that only the other makes.

use std::borrow::Cow;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::access::{AccessKind, AccessNote};
use super::authenticator::Authenticator;
use super::limiter::{Counted, Limiter};
use super::permission::Permission;
use super::principal::Principal;
use crate::key::AggregateKey;
use crate::service::http::problem::HttpProblem;
use crate::service::http::route::Target;

/// Decides about every request before its resource is touched.
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    /// Everybody may read everything.
    Open,
    Guarded(Arc<dyn Authenticator>, Limiter),
}

/// Proof that a request was admitted: to the tenant, the kind and the permission of its target.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    target: &'a Target,
    principal: Option<Principal>,
    counted: Counted,
}

/// A client that was admitted, to be asked about again while its answer is sent. Not printed: the
/// request has the credentials.
pub(crate) struct StillAdmitted {
    authenticator: Arc<dyn Authenticator>,
    request: Parts,
    permission: Permission,
    tenant: String,
    kind: Option<String>,
}

impl StillAdmitted {
    /// Whether the client would be admitted now. Nothing is counted. If the authenticator fails,
    /// nobody is admitted.
    pub(crate) async fn holds(&self) -> bool {
        let request = &self.request;
        let known = match self.authenticator.authenticate_at_once(request) {
            Some(known) => known,
            None => self.authenticator.authenticate(request).await,
        };
        let may = |who: &Principal| who.may(self.permission, &self.tenant, self.kind.as_deref());
        matches!(known, Ok(Some(ref who)) if may(who))
    }
}

/// Who sends a request. It is counted, and not admitted yet.
pub(crate) struct Identified<'n> {
    /// `None` if nobody was asked.
    principal: Option<Principal>,
    counted: Counted,
    access: Option<AccessNote<'n>>,
}

impl Gate {
    /// What is needed to ask about an admitted client again; `None` if everybody is admitted.
    pub(crate) fn standing(&self, request: &Parts, target: &Target) -> Option<StillAdmitted> {
        let (Self::Guarded(authenticator, _), Some(permission)) = (self, target.route.permission)
        else {
            return None;
        };
        Some(StillAdmitted {
            authenticator: Arc::clone(authenticator),
            request: request.clone(),
            permission,
            tenant: target.tenant.clone(),
            kind: target.kind(request).map(Cow::into_owned),
        })
    }

    /// Whether everybody may read everything.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The header that says the quota of all who have no other, if all answers have it.
    pub(crate) fn default_policy(&self) -> Option<HeaderValue> {
        match self {
            Self::Open => None,
            Self::Guarded(_, limiter) => limiter.default_policy(),
        }
    }

    /// Admits a request, or says why not. Whether the resource, its kind or its project exists plays
    /// no part.
    pub(crate) async fn admit<'a>(
        &self,
        request: &Parts,
        target: &'a Target,
        access: Option<AccessNote<'_>>,
    ) -> Result<Permit<'a>, HttpProblem> {
        self.identify(request, target.route.permission, access).await?.permit(request, target)
    }

    /// What is answered to wrong credentials. Who guesses is slowed down. Nobody else is: valid ones
    /// are not counted here.
    pub(crate) fn wrong_guess(&self, problem: HttpProblem) -> HttpProblem {
        let Self::Guarded(_, limiter) = self else { return problem };
        match limiter.count_failure() {
            Counted::Exceeded { wait, .. } => HttpProblem::too_many(wait),
            _ => problem,
        }
    }

    /// Finds out who sends a request that needs a permission, or says why it is refused whatever its
    /// target is.
    pub(crate) async fn identify<'n>(
        &self,
        request: &Parts,
        permission: Option<Permission>,
        access: Option<AccessNote<'n>>,
    ) -> Result<Identified<'n>, HttpProblem> {
        let (Self::Guarded(authenticator, limiter), Some(_)) = (self, permission) else {
            return Ok(Identified { principal: None, counted: Counted::Free, access });
        };
        let known = match authenticator.authenticate_at_once(request) {
            Some(known) => known,
            None => authenticator.authenticate(request).await,
        };
        let Some(principal) = known.map_err(HttpProblem::unchecked)? else {
            note(access, AccessKind::Unknown, "");
            return Err(self.wrong_guess(HttpProblem::unauthorized()));
        };
        let counted = limiter.count(&principal.name, principal.quota);
        if let Counted::Exceeded { wait, .. } = &counted {
            let mut problem = HttpProblem::too_many(*wait);
            counted.describe(problem.headers());
            return Err(problem);
        }
        Ok(Identified { principal: Some(principal), counted, access })
    }
}

impl Identified<'_> {
    /// Admits the request to its target, or says why not.
    pub(crate) fn permit<'a>(
        self,
        request: &Parts,
        target: &'a Target,
    ) -> Result<Permit<'a>, HttpProblem> {
        let Self { principal, counted, access } = self;
        let is_allowed = match (&principal, target.route.permission) {
            (_, None) => return Ok(Permit { target, principal, counted }),
            // Nobody may copy or write without a name.
            (None, Some(permission)) => permission == Permission::Read,
            (Some(principal), Some(permission)) => {
                principal.may(permission, &target.tenant, target.kind(request).as_deref())
            }
        };
        let name = principal.as_ref().map_or("", |principal| &principal.name);
        if is_allowed {
            if matches!(target.route.permission, Some(Permission::Read | Permission::Copy)) {
                note(access, AccessKind::Read, name);
            }
            return Ok(Permit { target, principal, counted });
        }
        note(access, AccessKind::Refused, name);
        let mut problem = HttpProblem::forbidden();
        counted.describe(problem.headers());
        Err(problem)
    }
}

fn note(access: Option<AccessNote<'_>>, kind: AccessKind, name: &str) {
    if let Some(access) = access {
        access.count(kind, name);
    }
}

impl Permit<'_> {
    pub(crate) const fn target(&self) -> &Target {
        self.target
    }

    /// The name of who sends the request; empty if everybody may.
    pub(crate) fn actor(&self) -> &str {
        self.principal.as_ref().map_or("", |principal| &principal.name)
    }

    /// Adds what is left of the quota to the headers of an answer.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        self.counted.describe(headers);
    }

    /// Whether the principal may also do this, with the same target.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        let kind = self.target.key.as_ref().map(AggregateKey::kind);
        match &self.principal {
            None => permission == Permission::Read,
            Some(principal) => principal.may(permission, &self.target.tenant, kind),
        }
    }
}
