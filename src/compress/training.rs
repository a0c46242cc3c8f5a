//! [`Training`]: a dictionary made from samples, and what it gains.

use std::fmt;

use super::zstd::{compress, compress_with, train};
use super::{Dictionary, Effort};
use crate::error::{Error, ErrorKind};

/// Every fourth sample is held out: it judges the dictionary and is not trained from.
const HELD_OUT: usize = 4;
/// The fewest samples to train from. Zstandard wants 8, and fewer held-out ones show nothing.
const MIN_SAMPLES: usize = 32;
/// Zstandard considers no more bytes of a sample.
const MAX_SAMPLE_BYTES: usize = 128 << 10;
/// A dictionary must save this many percent of the encoded bytes more than compression alone.
const MIN_GAIN_PERCENT: u64 = 10;

/// The result of [`Dictionary::train`]. Sizes are sums over the held-out samples, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Training {
    /// The dictionary. `None` if it saves less than 10% of the encoded bytes, compared with
    /// compression without it.
    pub dictionary: Option<Dictionary>,
    /// The number of samples.
    pub samples: usize,
    /// The number of samples that were held out, which are every fourth.
    pub held_out: usize,
    /// The size of the held-out samples before compression.
    pub raw_bytes: u64,
    /// Their size if each is compressed without a dictionary.
    pub alone_bytes: u64,
    /// Their size if each is compressed with the dictionary.
    pub with_bytes: u64,
}

impl Dictionary {
    /// Trains a dictionary of at most `max_bytes` bytes (64 KiB is a good size) from encoded
    /// states.
    ///
    /// A few thousand samples suffice. Together they should be about 100 times as large as the
    /// dictionary. Every fourth sample is held out, and judges the dictionary at level 3. Of each
    /// sample, at most 128 KiB are used. Takes seconds for 10 MB of samples, so call it on a thread
    /// for blocking work.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for fewer than 32 samples that are not empty, or if Zstandard
    /// cannot make a dictionary from them because they are too few, too small or all equal.
    pub fn train<S: AsRef<[u8]>>(samples: &[S], max_bytes: usize) -> Result<Training, Error> {
        let invalid =
            |message: String| Error::new(ErrorKind::InvalidInput, "train a dictionary", message);
        let samples: Vec<&[u8]> = samples
            .iter()
            .map(AsRef::as_ref)
            .map(|sample| sample.get(..MAX_SAMPLE_BYTES).unwrap_or(sample))
            .filter(|sample| !sample.is_empty())
            .collect();
        if samples.len() < MIN_SAMPLES {
            return Err(invalid(format!(
                "{} samples are too few to train from: collect at least {MIN_SAMPLES}, better \
                 1,000",
                samples.len()
            )));
        }
        let held_out: Vec<_> =
            samples.iter().copied().skip(HELD_OUT - 1).step_by(HELD_OUT).collect();
        let trained: Vec<_> = samples
            .iter()
            .enumerate()
            .filter(|(at, _)| at % HELD_OUT != HELD_OUT - 1)
            .map(|(_, sample)| *sample)
            .collect();
        let bytes = train(&trained, max_bytes.clamp(256, Self::MAX_BYTES)).ok_or_else(|| {
            invalid(
                "Zstandard found too little in the samples: use more samples, larger ones, or a \
                 smaller dictionary"
                    .to_owned(),
            )
        })?;
        let dictionary = Self::from_bytes(bytes)?;
        let size = |stored: Option<Vec<u8>>, raw: &[u8]| {
            stored.map_or(raw.len(), |stored| stored.len().min(raw.len())) as u64
        };
        let sum = |of: &dyn Fn(&[u8]) -> u64| held_out.iter().map(|raw| of(raw)).sum::<u64>();
        let mut training = Training {
            samples: samples.len(),
            held_out: held_out.len(),
            raw_bytes: sum(&|raw| raw.len() as u64),
            alone_bytes: sum(&|raw| size(compress(raw, Effort::DEFAULT), raw)),
            with_bytes: sum(&|raw| {
                size(compress_with(raw, dictionary.prepared(), Effort::DEFAULT), raw)
            }),
            dictionary: None,
        };
        let gain = training.alone_bytes.saturating_sub(training.with_bytes);
        if gain.saturating_mul(100) >= training.raw_bytes.saturating_mul(MIN_GAIN_PERCENT) {
            training.dictionary = Some(dictionary);
        }
        Ok(training)
    }
}

/// Formats the result as one line, such as `dictionary 00c0ffee00c0ffee (65,536 bytes): 20% of the
/// encoded bytes instead of 55% (250 held-out samples)`.
impl fmt::Display for Training {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dictionary {
            Some(dictionary) => {
                let bytes = dictionary.as_bytes().len();
                write!(f, "dictionary {} ({bytes} bytes)", dictionary.id())?;
            }
            None => f.write_str("no dictionary, because it gains less than 10%")?,
        }
        let percent = |bytes: u64| bytes.saturating_mul(100) / self.raw_bytes.max(1);
        write!(
            f,
            ": {}% of the encoded bytes instead of {}% ({} held-out samples)",
            percent(self.with_bytes),
            percent(self.alone_bytes),
            self.held_out
        )
    }
}
