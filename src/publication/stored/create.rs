//! Creating a publication, and whose request key is.

use super::content::{Content, KeyHolder};
use super::documents::PublicationDocuments;
use super::marker::mark;
use super::operation::WRITE;
use super::place::PublicationPlace;
use crate::error::{Error, ErrorKind};
use crate::hex::hex;
use crate::key::AggregateKey;
use crate::publication::{Publication, PublicationCreated, PublicationId, PublicationStatus};
use crate::store::document::Race;

pub(super) async fn create(
    publications: &PublicationDocuments,
    new: &Publication,
) -> Result<PublicationCreated, Error> {
    new.check()?;
    if new.revision != 1 {
        let message = "the revision of a new publication is 1";
        return Err(Error::new(ErrorKind::InvalidInput, WRITE, message));
    }
    let mut race = Race::default();
    loop {
        if let Some((_, newest)) =
            publications.newest(&new.project, PublicationPlace::of(new.id)).await?
        {
            return existing(new, newest);
        }
        let Some(request_key) = &new.request_key else {
            mark(&publications.documents, new).await?;
            return match publications.place(new).await? {
                None => Ok(PublicationCreated::New),
                Some(newest) => existing(new, newest),
            };
        };
        let key = claims_key(&new.project, request_key)?;
        let mut claimed = 0;
        if let Some(claim) = publications.documents.get(&key, u64::MAX).await? {
            claimed = claim.version;
            let holder = KeyHolder::read(&claim, &key)?;
            let holder = publications.holder(&key, claimed, holder).await?;
            if let Some(holder) = holder.filter(|it| holds(it, new)) {
                return Ok(PublicationCreated::Existing(holder));
            }
        }
        // Before the claim, because whoever fulfils it must be able to do the same.
        mark(&publications.documents, new).await?;
        let claim = [(key.clone(), claimed + 1, Content::whole(new))];
        if publications.documents.put(&claim).await?.contains(&true) {
            return publications.fulfil(new, &key, claimed + 1).await;
        }
        race.lost(WRITE)?;
    }
}

/// Returns whether a publication has the request key of `new`.
fn holds(holder: &Publication, new: &Publication) -> bool {
    holder.request_key == new.request_key && !matches!(holder.status, PublicationStatus::Failed(_))
}

/// The answer if there is something at the place of `new`.
fn existing(new: &Publication, newest: Content) -> Result<PublicationCreated, Error> {
    match newest {
        Content::Held(publication) if publication.id == new.id => {
            Ok(PublicationCreated::Existing(publication))
        }
        _ => {
            let message =
                format!("the id {} was used before: begin it again with a new id", new.id);
            Err(Error::new(ErrorKind::Conflict, WRITE, message))
        }
    }
}

pub(super) fn claims_key(project: &str, request_key: &[u8; 32]) -> Result<AggregateKey, Error> {
    AggregateKey::reserved(project, "snapfold.publication-key", &hex(request_key))
}

impl PublicationDocuments {
    /// Stores version 1 of a publication that is marked. If it is taken, returns the newest version.
    async fn place(&self, publication: &Publication) -> Result<Option<Content>, Error> {
        let Publication { project, id, .. } = publication;
        let first = [(PublicationPlace::of(*id).key(project)?, 1, Content::whole(publication))];
        if self.documents.put(&first).await?.contains(&true) {
            return Ok(None);
        }
        let newest = self.newest(project, PublicationPlace::of(*id)).await?;
        newest.map(|(_, newest)| Some(newest)).ok_or_else(|| {
            let message = format!("the publication {id} is there and cannot be read");
            Error::new(ErrorKind::CorruptStore, WRITE, message)
        })
    }

    /// Returns the publication that has claimed a request key in version `claimed`. It is stored
    /// first if need be. `None` if it is gone.
    async fn holder(
        &self,
        key: &AggregateKey,
        claimed: u64,
        holder: KeyHolder,
    ) -> Result<Option<Box<Publication>>, Error> {
        let project = key.tenant();
        let (id, whole) = match holder {
            KeyHolder::Whole(publication) => (publication.id, Some(publication)),
            KeyHolder::Named(id) => (id, None),
        };
        let mut newest =
            self.newest(project, PublicationPlace::of(id)).await?.map(|(_, newest)| newest);
        match (&newest, whole) {
            (None, Some(whole)) => {
                mark(&self.documents, &whole).await?;
                newest = self.place(&whole).await?.or(Some(Content::Held(whole)));
                self.name_holder(key, claimed, id).await;
            }
            (Some(_), Some(_)) => self.name_holder(key, claimed, id).await,
            // It was stored, so it was lost behind the store's back. It must not come back later.
            (None, None) => {
                let gone = (PublicationPlace::of(id).key(project)?, 1, Content::gone());
                self.documents.put(&[gone]).await?;
            }
            (Some(_), None) => {}
        }
        match newest {
            Some(Content::Held(publication)) if publication.id == id => Ok(Some(publication)),
            _ => Ok(None),
        }
    }

    /// Stores a publication whose request key this call has just claimed.
    async fn fulfil(
        &self,
        new: &Publication,
        key: &AggregateKey,
        claimed: u64,
    ) -> Result<PublicationCreated, Error> {
        let newest = self.place(new).await?;
        self.name_holder(key, claimed, new.id).await;
        let Some(newest) = newest else { return Ok(PublicationCreated::New) };
        // Another creator with the same key may have stored it for this one.
        let place = PublicationPlace::of(new.id).key(&new.project)?;
        let first = self.documents.get_versions(&[(place.clone(), 1)]).await?;
        if let Some(Some(first)) = first.first()
            && matches!(Content::read(first, &place)?, Content::Held(first) if *first == *new)
        {
            return Ok(PublicationCreated::New);
        }
        existing(new, newest)
    }

    /// Replaces a claim, whose publication is stored, by its id, so that the content is in one
    /// place. An error is ignored: the claim says the same.
    pub(super) async fn name_holder(&self, key: &AggregateKey, claimed: u64, id: PublicationId) {
        let named = (key.clone(), claimed, KeyHolder::named(id));
        let _ = self.documents.rewrite(&[named]).await;
    }
}
