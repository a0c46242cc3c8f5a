//! [`Gate`] and [`Permit`]: no resource is read without the one that only the other makes.

use std::sync::Arc;

use http::request::Parts;

use super::action::Action;
use super::authenticator::Authenticator;
use super::principal::Principal;
use crate::http::problem::Problem;
use crate::http::route::Target;
use crate::key::AggregateKey;

/// Decides about every request before its resource is touched.
#[derive(Clone, Debug)]
pub(in crate::http) enum Gate {
    /// Everybody may read everything.
    Open,
    Guarded(Arc<dyn Authenticator>),
}

/// Proof that a request was admitted: to the tenant, the kind and the action of its target.
#[derive(Debug)]
pub(in crate::http) struct Permit {
    target: Target,
    principal: Option<Principal>,
}

impl Gate {
    /// Admits a request, or says why not. Whether the resource, its kind or its project exists plays
    /// no part.
    pub(in crate::http) async fn admit(
        &self,
        request: &Parts,
        target: Target,
    ) -> Result<Permit, Problem> {
        let Self::Guarded(authenticator) = self else {
            return Ok(Permit { target, principal: None });
        };
        let Ok(principal) = authenticator.authenticate(request).await else {
            return Err(Problem::unauthorized());
        };
        let kind = target.kind(request);
        if !principal.may(target.route.action, &target.tenant, kind.as_deref()) {
            return Err(Problem::forbidden());
        }
        Ok(Permit { target, principal: Some(principal) })
    }
}

impl Permit {
    pub(in crate::http) const fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the principal may also do this, with the same target.
    pub(in crate::http) fn may(&self, action: Action) -> bool {
        let kind = self.target.key.as_ref().map(AggregateKey::kind);
        match &self.principal {
            None => action == Action::Read,
            Some(principal) => principal.may(action, &self.target.tenant, kind),
        }
    }
}
