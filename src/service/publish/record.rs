//! Records of snapshots among the artifacts.

use std::collections::BTreeMap;

use super::publisher::Publisher;
use super::record_intake::RecordIntake;
use super::refusal::WrongPart;
use crate::artifact::Artifact;
use crate::error::Error;
use crate::publication::Publication;
use crate::record::Record;
use crate::store::{Mark, Marks, PutOptions};

/// The media type of a record.
const RECORD: &str = "application/vnd.snapfold.record";
/// The name of the retirement of published snapshots.
const RETIREMENT: &str = "published";

impl Publisher {
    /// Puts the records among the artifacts into the store of snapshots, retired. If one of them is
    /// wrong, none is put.
    pub(super) async fn take_records(
        &self,
        publication: &Publication,
    ) -> Result<BTreeMap<String, WrongPart>, Error> {
        let (mut records, mut wrong) = (Vec::new(), BTreeMap::new());
        let Some(intake) = &self.0.records else { return Ok(wrong) };
        for (name, part) in &publication.parts {
            let is_record = |it: &&Artifact| it.content_type.eq_ignore_ascii_case(RECORD);
            let Some(artifact) = part.stored.as_ref().filter(is_record) else { continue };
            match self.record_of(intake, &publication.project, artifact).await? {
                Ok(record) => records.push(record),
                Err(why) => {
                    wrong.insert(name.clone(), WrongPart::Record { why });
                }
            }
        }
        if !wrong.is_empty() || records.is_empty() {
            return Ok(wrong);
        }
        let mark = Mark::retirement(RETIREMENT, self.now())
            .note(format!("of publication {}", publication.id));
        let options = PutOptions::default().marks(Marks::new([mark])?);
        // One that is stored before the publication is completed is as unused as one that is not.
        intake.store.put(records, options).await?;
        Ok(wrong)
    }

    async fn record_of(
        &self,
        intake: &RecordIntake,
        project: &str,
        artifact: &Artifact,
    ) -> Result<Result<Record, String>, Error> {
        let most = intake.store.capabilities().max_record_bytes;
        let most = most.min(self.0.options.max_undeclared_bytes as u64);
        let Some(found) = self.0.artifacts.get(project, &artifact.id, None).await? else {
            return Ok(Err("it is gone".to_owned()));
        };
        let limit = usize::try_from(most).unwrap_or(usize::MAX);
        let Some(bytes) = found.bytes(limit).await? else {
            return Ok(Err(format!("it has more than {most} bytes")));
        };
        let record = Record::from_bytes(bytes);
        let why = match record.verify() {
            Err(reject) => Some(format!("it is damaged: {reject}")),
            Ok(header) if header.tenant != project => Some("it is of another project".to_owned()),
            Ok(header) if !intake.kinds.contains(header.kind) => {
                Some("it is of a kind that is not accepted".to_owned())
            }
            Ok(_) => None,
        };
        Ok(why.map_or(Ok(record), Err))
    }
}
