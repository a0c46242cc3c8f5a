//! Adds a frame to the hints.

use super::{Hints, base_of};
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteBody, Frame, Kind, MarksBody};
use crate::record::Header;
use crate::snapshot_id::SnapshotId;

/// Adds a frame to the hints.
pub(crate) fn push(
    hints: &mut Hints,
    frame: &Frame,
    body: &[u8],
    secret: [u64; 2],
) -> Result<(), String> {
    match frame.kind {
        Kind::Put => {
            let header = Header::parse(body).map_err(|why| format!("unreadable record ({why})"))?;
            let tag = Tag::of_parts(secret, header.tenant, header.kind, header.id);
            let id = SnapshotId { generation: header.generation, version: header.version };
            let of_record = (header.as_of, base_of(&header));
            hints.push_put(frame.seq, frame.body_bytes, tag, id, of_record);
        }
        Kind::Delete => {
            let delete = DeleteBody::parse(body).ok_or("unreadable delete")?;
            let tag = Tag::of_parts(secret, delete.tenant, delete.kind, delete.id);
            hints.push_delete(frame.seq, frame.body_bytes, tag, &delete.scope);
        }
        Kind::Marks => {
            let MarksBody { tenant, kind, id, snapshot, marks } =
                MarksBody::parse(body).ok_or("unreadable marks")?;
            let tag = Tag::of_parts(secret, tenant, kind, id);
            hints.push_marks(frame.seq, frame.body_bytes, tag, snapshot, &marks);
        }
        Kind::Seal => return Err("unexpected seal".into()),
    }
    Ok(())
}
