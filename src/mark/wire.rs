//! Marks as bytes, as stores write them.

use super::{Mark, MarkKind, Marks};
use crate::little_endian::LittleEndianReader;
use crate::timestamp::Timestamp;

/// Appends `marks` to `out` in a self-delimiting form.
pub(crate) fn put_marks(out: &mut Vec<u8>, marks: &Marks) {
    out.push(u8::try_from(marks.len()).unwrap_or(u8::MAX));
    for mark in marks.iter() {
        out.push(match mark.kind {
            MarkKind::Pin => 1,
            MarkKind::Retirement => 2,
        });
        let texts = [&mark.name, &mark.actor, &mark.note];
        for text in texts {
            out.extend_from_slice(&length(text).to_le_bytes());
        }
        out.extend_from_slice(&mark.at.as_micros().to_le_bytes());
        for text in texts {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Reads the marks that [`put_marks`] wrote. Returns `None` if they exceed the limits for a
/// snapshot or are out of order.
pub(crate) fn read_marks(reader: &mut LittleEndianReader<'_>) -> Option<Marks> {
    let count = usize::from(reader.u8()?);
    if count > Marks::MAX {
        return None;
    }
    let mut read = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = match reader.u8()? {
            1 => MarkKind::Pin,
            2 => MarkKind::Retirement,
            _ => return None,
        };
        let lengths = [reader.u16()?, reader.u16()?, reader.u16()?];
        let at = Timestamp::from_micros(reader.u64()?.cast_signed());
        let [name, actor, note] = lengths.map(|len| reader.text(len.into()));
        read.push(Mark::new(kind, name?, at).actor(actor?).note(note?));
    }
    let marks = Marks::new(read.iter().cloned()).ok()?;
    (*marks == *read).then_some(marks)
}

/// Returns the length of a string of a mark, which is at most 65,535 bytes.
fn length(text: &str) -> u16 {
    u16::try_from(text.len()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn what_no_snapshot_can_have_is_no_set_of_marks() {
        let read = |bytes: &[u8]| read_marks(&mut LittleEndianReader(bytes));
        let bytes = |marks: &[Mark]| {
            let mut out = vec![u8::try_from(marks.len()).unwrap()];
            for mark in marks {
                let mut one = Vec::new();
                put_marks(&mut one, &Marks::new([mark.clone()]).unwrap());
                out.extend_from_slice(&one[1..]);
            }
            out
        };
        let (a, b) = (Mark::pin("a", at(1)), Mark::pin("b", at(1)));
        assert!(read(&bytes(&[a.clone(), b.clone()])).is_some());
        assert_eq!(read(&bytes(&[b, a.clone()])), None);
        assert_eq!(read(&bytes(&[a.clone(), a.clone()])), None);
        let many: Vec<_> = (0..=Marks::MAX).map(|n| Mark::pin(format!("{n:02}"), at(1))).collect();
        assert!(read(&bytes(&many[1..])).is_some());
        assert_eq!(read(&bytes(&many)), None);
        let mut unknown = bytes(&[a]);
        unknown[1] = 3;
        assert_eq!(read(&unknown), None);
    }
}
