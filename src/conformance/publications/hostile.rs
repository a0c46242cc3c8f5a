//! Names of any kind, and inputs at and beyond the limits.

use super::context::{
    PublicationContext, all_of, done, found, holds, next, refused, same, stored, walk,
};
use crate::artifact::{Artifact, ArtifactId};
use crate::conformance::case::cases;
use crate::conformance::failure::Stop;
use crate::publication::{
    Publication, PublicationDetails, PublicationId, PublicationPart, PublicationStatus,
};

cases! {
    publications Hostile:
    "projects with any names are kept apart", ["P-01"], projects;
    "the largest publication is kept", ["P-12"], largest;
    "what goes beyond a limit is refused and stores nothing", ["P-02"], refusals;
}

/// Names that could be mistaken for each other, for a folder or for an escaped form.
const PROJECTS: [&str; 16] = [
    "",
    "a",
    "A",
    "a/b",
    "a/",
    "/",
    ".",
    "..",
    "../a",
    "~61",
    "%61",
    "a b",
    "a\0",
    "\u{1}",
    "\u{e9}",
    "\u{1f600}",
];

async fn projects(case: &mut PublicationContext) -> Result<(), Stop> {
    let common = case.new_one()?;
    let key = Some(case.request_key());
    let longest = "\u{1}".repeat(Publication::MAX_PROJECT_BYTES);
    let all: Vec<&str> = PROJECTS.into_iter().chain([&*longest]).collect();
    let mut stored_ones = Vec::new();
    for (place, project) in all.iter().enumerate() {
        let mut new = common.clone();
        (new.project, new.request_key) = ((*project).to_owned(), key);
        new.details.title = Some(format!("{place} {project}"));
        same("P-01", "get what others have", &found(&*case.node(0)?, &new).await?, &None)?;
        stored("P-01", &*case.node(place)?, &new).await?;
        stored_ones.push(new);
    }
    for (place, new) in stored_ones.iter().enumerate() {
        let listed = walk(&*case.node(0)?, all_of(&new.project)).await?;
        same("P-01", "list a project", &listed, &vec![new.clone()])?;
        done("P-50", "delete a publication", case.node(1)?.delete(&new.project, new.id).await)?;
        for (other, new) in stored_ones.iter().enumerate() {
            if other <= place {
                same("P-50", "get a deleted one", &found(&*case.node(2)?, new).await?, &None)?;
            } else {
                holds("P-01", &*case.node(2)?, new).await?;
            }
        }
    }
    Ok(())
}

async fn largest(case: &mut PublicationContext) -> Result<(), Stop> {
    for filler in ["\u{1}", "a", "\\"] {
        let mut new = case.new_one()?;
        let text = || Some(filler.repeat(PublicationDetails::MAX_TEXT_BYTES));
        let details = &mut new.details;
        (details.collection, details.title, details.author) = (text(), text(), text());
        (details.repo_owner, details.repo_name, details.branch) = (text(), text(), text());
        (details.commit_sha, details.run_id, details.run_url) = (text(), text(), text());
        details.description = Some(filler.repeat(PublicationDetails::MAX_DESCRIPTION_BYTES));
        let tag = |number| {
            format!("{number:02}{}", filler.repeat(PublicationDetails::MAX_TEXT_BYTES - 2))
        };
        details.tags = (0..PublicationDetails::MAX_TAGS).map(tag).collect();
        new.created_by = filler.repeat(Publication::MAX_CREATOR_BYTES);
        new.request_key = Some(case.request_key());
        let content_type = "\"".repeat(Artifact::MAX_TYPE_BYTES);
        let id = ArtifactId::from_bytes([255; 32]);
        for number in 0..Publication::MAX_PARTS {
            let name = format!("{number:_>width$}", width = PublicationPart::MAX_NAME_BYTES);
            let mut part = PublicationPart::new().size(u64::MAX).sha256(id);
            part.content_type = Some(content_type.clone());
            part.stored = part.declared();
            new.parts.insert(name, part);
        }
        stored("P-12", &*case.node(0)?, &new).await?;
        holds("P-12", &*case.node(1)?, &new).await?;
    }
    let all = walk(&*case.node(2)?, all_of("p")).await?;
    same("P-30", "list large publications", &all.len(), &3)
}

async fn refusals(case: &mut PublicationContext) -> Result<(), Stop> {
    let store = case.node(0)?;
    let changes: [fn(&mut Publication); 8] = [
        |it| it.project = "x".repeat(Publication::MAX_PROJECT_BYTES + 1),
        |it| it.id = PublicationId::from_bytes([1; 16]),
        |it| it.created_by = "x".repeat(Publication::MAX_CREATOR_BYTES + 1),
        |it| it.details.tags = vec![String::new()],
        |it| it.details.title = Some("x".repeat(PublicationDetails::MAX_TEXT_BYTES + 1)),
        |it| it.parts.extend([("../x".to_owned(), PublicationPart::new())]),
        |it| it.ended_at = Some(it.created_at),
        |it| it.status = PublicationStatus::Completed,
    ];
    for change in changes {
        let good = case.new_one()?;
        let mut bad = good.clone();
        change(&mut bad);
        refused("P-02", "create a malformed publication", store.create(&bad).await)?;
        stored("P-02", &*store, &good).await?;
        let mut bad = next(&good, "bad");
        change(&mut bad);
        refused("P-02", "replace by a malformed publication", store.replace(&bad).await)?;
        holds("P-02", &*store, &good).await?;
    }
    let mut zero = case.new_one()?;
    zero.revision = 0;
    refused("P-02", "create a revision 0", store.create(&zero).await)?;
    let long = "x".repeat(70_000);
    let id = zero.id;
    refused("P-02", "get from a long project", store.get(&long, id).await)?;
    refused("P-02", "list a long project", store.list(all_of(&long)).await)?;
    refused("P-02", "delete from a long project", store.delete(&long, id).await)?;
    let odd = PublicationId::from_bytes([255; 16]);
    let odd = done("P-02", "get an id that nobody made", store.get("p", odd).await)?;
    same("P-02", "get an id that nobody made", &odd, &None)
}
