//! [`DeliveryMode`].

/// How the states of a project are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeliveryMode {
    /// By the routes of a [`Delivery`](super::Delivery) alone, to those whom its authenticator admits.
    #[default]
    GuardedRoutes,
    /// The states now also as [files](super::StaticExport), which everybody may read.
    PublicFiles,
}
