//! Compressed payloads come back, and nothing else does.

use super::*;
use crate::error::BoxError;

/// The compressions of this build.
fn all() -> Vec<Compression> {
    let mut all = Vec::new();
    if cfg!(feature = "lz4") {
        all.push(Compression::lz4());
    }
    if cfg!(feature = "zstd") {
        let zstd = Compression::zstd();
        all.extend([zstd.clone(), zstd.clone().level(19), zstd.level(-7).long_distance(true)]);
    }
    all
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut x = 1_u32;
    let noise = std::iter::repeat_with(|| {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 24) as u8
    });
    noise.take(bytes).collect()
}

#[test]
fn small_or_incompressible_payloads_stay_as_they_are() {
    for of in all() {
        assert!(of.apply(&[7; 511]).unwrap().is_none());
        let Compressed { id, bytes: stored, dictionary } = of.apply(&[7; 512]).unwrap().unwrap();
        assert_eq!((id, dictionary), (of.id, None));
        assert_eq!(*decompress(id, &stored, 512, Needs::Nothing, &[]).unwrap(), [7; 512]);
        assert!(of.apply(&noise(4_096)).unwrap().is_none());
        assert!(of.min_saving_percent(100).apply(&[7; 4096]).unwrap().is_none());
    }
    assert!(Compression::none().apply(&[7; 4096]).unwrap().is_none());
}

#[test]
fn a_lying_length_or_a_damaged_payload_is_refused() {
    let mut raw = noise(2_048);
    raw.extend_from_slice(&[7; 2_048]);
    for of in all() {
        let Compressed { id, bytes: stored, .. } = of.apply(&raw).unwrap().unwrap();
        assert_eq!(*decompress(id, &stored, 4_096, Needs::Nothing, &[]).unwrap(), raw[..]);
        for wrong in [0, 1, 4095, 4097, 1 << 20, 1 << 31] {
            assert!(matches!(
                decompress(id, &stored, wrong, Needs::Nothing, &[]),
                Err(DecompressError::Invalid)
            ));
        }
        for kept in 0..stored.len() {
            let cut = stored.get(..kept).unwrap();
            assert!(matches!(
                decompress(id, cut, 4_096, Needs::Nothing, &[]),
                Err(DecompressError::Invalid)
            ));
        }
    }
}

#[test]
fn a_delta_needs_its_base_and_an_equal_state_takes_no_bytes() {
    for size in [600, 40_000, 400_000] {
        let base = noise(size);
        let mut raw = base.clone();
        raw.splice(300..310, [7; 25]);
        for of in all() {
            if of.id == CompressionId::LZ4 && size > 60_000 {
                continue;
            }
            let (id, delta) = of.apply_delta(&raw, &base).unwrap();
            assert!(delta.len() < 300, "{of:?}: {}", delta.len());
            assert_eq!(
                *decompress(id, &delta, raw.len(), Needs::Base(&base), &[]).unwrap(),
                raw[..]
            );
            assert!(decompress(id, &delta, raw.len(), Needs::Nothing, &[]).is_err());
            let other = decompress(id, &delta, raw.len(), Needs::Base(&raw), &[]);
            assert!(other.is_err() || *other.unwrap() != raw[..]);
            assert!(decompress(id, &delta, raw.len() + 1, Needs::Base(&base), &[]).is_err());
            let (id, nothing) = of.apply_delta(&base, &base).unwrap();
            assert!(nothing.is_empty());
            assert_eq!(*decompress(id, &nothing, size, Needs::Base(&base), &[]).unwrap(), base[..]);
            assert!(decompress(id, &nothing, size + 1, Needs::Base(&base), &[]).is_err());
        }
    }
    assert!(Compression::none().apply_delta(&[7; 4], &[7; 4]).is_none());
}

/// Records of one shape, as different aggregates of one kind have them.
#[cfg(feature = "zstd")]
fn records(count: usize) -> Vec<Vec<u8>> {
    let record = |n: usize| {
        format!(
            "id={n} name=customer-{} city={} status=active plan=premium/monthly currency=EUR \
             consent=newsletter,profiling balance={}",
            n * 7_919 % 100_003,
            ["Rotterdam", "Antwerpen", "Gdansk", "Porto"][n % 4],
            n * n % 100_000,
        )
    };
    (0..count).map(|n| record(n).into_bytes()).collect()
}

#[cfg(feature = "zstd")]
#[test]
fn a_dictionary_is_needed_again_and_pays_for_small_records() {
    let records = records(2_000);
    let training = Dictionary::train(&records, 4_096).unwrap();
    assert_eq!((training.samples, training.held_out), (2_000, 500));
    assert!(training.with_bytes * 2 < training.alone_bytes, "{training}");
    let dictionary = training.dictionary.clone().unwrap();
    let same = Dictionary::from_bytes(dictionary.as_bytes().to_vec()).unwrap();
    assert_eq!(same, dictionary);
    let other = Dictionary::from_bytes(records.concat()[..4_096].to_vec()).unwrap();
    for level in [1, 3, 19] {
        let of = Compression::zstd().level(level).dictionary(dictionary.clone());
        let raw = &records[7];
        let compressed = of.apply(raw).unwrap().unwrap();
        assert_eq!((compressed.id, compressed.dictionary), (of.id, Some(dictionary.id())));
        let (id, stored) = (compressed.id, compressed.bytes);
        assert!(stored.len() * 3 < raw.len(), "{} of {}", stored.len(), raw.len());
        let with = Needs::Dictionary(&same);
        assert_eq!(*decompress(id, &stored, raw.len(), with, &[]).unwrap(), raw[..]);
        assert!(decompress(id, &stored, raw.len() + 1, with, &[]).is_err());
        assert!(decompress(id, &stored, 1 << 31, with, &[]).is_err());
        assert!(decompress(id, &stored, raw.len(), Needs::Nothing, &[]).is_err());
        assert!(decompress(id, &stored, raw.len(), Needs::Dictionary(&other), &[]).is_err());
        for kept in 0..stored.len() {
            let cut = stored.get(..kept).unwrap();
            assert!(decompress(id, cut, raw.len(), with, &[]).is_err());
        }
    }
}

#[cfg(feature = "zstd")]
#[test]
fn a_dictionary_is_used_for_small_payloads_by_zstandard_only() {
    let dictionary = Dictionary::from_bytes(records(50).concat()).unwrap();
    let of = Compression::zstd().dictionary(dictionary.clone());
    let used = |of: &Compression, bytes| {
        of.apply(&vec![7; bytes]).unwrap().map(|compressed| compressed.dictionary.is_some())
    };
    for (bytes, expected) in [(63, None), (64, Some(true)), (128 << 10, Some(true))] {
        assert_eq!(used(&of, bytes), expected, "{bytes}");
    }
    assert_eq!(used(&of, (128 << 10) + 1), Some(false));
    assert_eq!(used(&of.min_bytes(100), 99), None);
    if cfg!(feature = "lz4") {
        let lz4 = Compression::lz4().dictionary(dictionary);
        assert_eq!((used(&lz4, 511), used(&lz4, 512)), (None, Some(false)));
    }
}

#[cfg(feature = "zstd")]
#[test]
fn what_cannot_be_a_dictionary_or_train_one_is_refused_in_words() {
    let from = |bytes: Vec<u8>| Dictionary::from_bytes(bytes).unwrap_err().to_string();
    assert!(from(vec![]).contains("8 to 1048576 bytes"), "{}", from(vec![]));
    assert!(from(vec![1; (1 << 20) + 1]).contains("this one has 1048577"));
    // A dictionary of Zstandard that was cut.
    let whole = Dictionary::train(&records(500), 2_048).unwrap().dictionary.unwrap();
    assert!(from(whole.as_bytes()[..60].to_vec()).contains("damaged"));
    assert!(!format!("{whole:?}").contains("Rotterdam"));

    let train = |samples: &[Vec<u8>]| Dictionary::train(samples, 2_048);
    let few = train(&records(31)).unwrap_err().to_string();
    assert!(few.contains("31 samples are too few"), "{few}");
    assert!(train(&vec![Vec::new(); 100]).is_err());
    for equal in [vec![vec![7; 1]; 100], vec![vec![7; 1_000]; 100]] {
        // Refused, or worth it: never a panic.
        let _ = train(&equal);
    }
    // Noise has nothing in common.
    let noise: Vec<_> = noise(400_000).chunks(1_000).map(<[u8]>::to_vec).collect();
    assert!(train(&noise).is_err_and(|_| true) || train(&noise).unwrap().dictionary.is_none());
}

#[cfg(feature = "zstd")]
#[test]
fn a_bomb_is_refused_before_memory_is_allocated_for_it() {
    // A frame that claims 2 GiB and contains one block.
    let compressed = Compression::zstd().apply(&vec![0; 1 << 20]).unwrap().unwrap();
    let Compressed { id, bytes: stored, .. } = compressed;
    assert!(stored.len() < 100);
    assert_eq!(decompress(id, &stored, 1 << 20, Needs::Nothing, &[]).unwrap().len(), 1 << 20);
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    bomb.extend_from_slice(&(2_u64 << 30).to_le_bytes());
    bomb.extend_from_slice(&[0x03, 0x00, 0x00, 0x00]);
    assert!(matches!(
        decompress(id, &bomb, 2 << 30, Needs::Nothing, &[]),
        Err(DecompressError::Invalid)
    ));
}

/// Stores half of what it was given, and misbehaves on demand.
#[derive(Debug)]
struct Halves(Misbehaviour);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Misbehaviour {
    None,
    Declines,
    FailsToCompress,
    PanicsInCompress,
    FailsToDecompress,
    PanicsInDecompress,
    ReturnsLess,
    ReturnsMore,
    ReturnsOther,
}

impl Compressor for Halves {
    fn id(&self) -> CompressionId {
        CompressionId::custom(5)
    }

    fn name(&self) -> &'static str {
        "halves"
    }

    fn compress(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
        assert!(self.0 != Misbehaviour::PanicsInCompress, "out of order");
        match self.0 {
            Misbehaviour::Declines => Ok(None),
            Misbehaviour::FailsToCompress => Err("no room".into()),
            _ => Ok(Some(raw[..raw.len() / 2].to_vec())),
        }
    }

    fn decompress(&self, stored: &[u8], _: usize) -> Result<Vec<u8>, BoxError> {
        assert!(self.0 != Misbehaviour::PanicsInDecompress, "out of order");
        let mut raw = stored.repeat(2);
        match self.0 {
            Misbehaviour::FailsToDecompress => return Err("no room".into()),
            Misbehaviour::ReturnsLess => drop(raw.pop()),
            Misbehaviour::ReturnsMore => raw.push(0),
            Misbehaviour::ReturnsOther => raw[3] ^= 1,
            _ => {}
        }
        Ok(raw)
    }
}

#[test]
fn a_compressor_of_the_application_is_proved_before_anything_is_stored() {
    let raw = [9; 1_000];
    let apply = |how| Compression::custom(Halves(how)).apply(&raw);
    let Compressed { id, dictionary, bytes } = apply(Misbehaviour::None).unwrap().unwrap();
    assert_eq!((id, dictionary, bytes.len()), (CompressionId::custom(5), None, 500));
    assert_eq!(id.to_string(), "custom compression 5");
    assert!(apply(Misbehaviour::Declines).unwrap().is_none());
    for (how, expected) in [
        (Misbehaviour::FailsToCompress, "failed, so nothing was stored"),
        (Misbehaviour::PanicsInCompress, "failed, so nothing was stored"),
        (Misbehaviour::FailsToDecompress, "cannot decompress its own output"),
        (Misbehaviour::PanicsInDecompress, "cannot decompress its own output"),
        (Misbehaviour::ReturnsLess, "does not decompress to the bytes that it was given"),
        (Misbehaviour::ReturnsMore, "does not decompress to the bytes that it was given"),
        (Misbehaviour::ReturnsOther, "does not decompress to the bytes that it was given"),
    ] {
        let Err(error) = apply(how) else { panic!("{how:?}") };
        assert_eq!(error.kind(), ErrorKind::Encode);
        let text = format!("{error:#}");
        assert!(text.contains("\"halves\"") && text.contains(expected), "{how:?}: {text}");
    }
    let panicked = apply(Misbehaviour::PanicsInCompress).err().unwrap();
    assert!(format!("{panicked:#}").contains("it panicked: out of order"), "{panicked:#}");
    // Not halved: the settings for all compressions hold.
    let custom = || Compression::custom(Halves(Misbehaviour::None));
    assert!(custom().apply(&raw[..511]).unwrap().is_none());
    assert!(custom().min_bytes(4).apply(&raw[..4]).unwrap().is_some());
    assert!(custom().min_saving_percent(51).apply(&raw).unwrap().is_none());
    assert!(custom().apply_delta(&raw, &raw).is_none());
}

#[test]
fn what_a_compressor_returns_for_stored_bytes_is_not_trusted() {
    let read = |how, raw_len| {
        let known = [CustomCompressor::new(Halves(how))];
        decompress(CompressionId::custom(5), &[9; 500], raw_len, Needs::Nothing, &known)
    };
    assert_eq!(*read(Misbehaviour::None, 1_000).unwrap(), [9; 1_000]);
    for wrong in [0, 999, 1_001, usize::MAX] {
        assert!(matches!(read(Misbehaviour::None, wrong), Err(DecompressError::Invalid)));
    }
    for how in [
        Misbehaviour::FailsToDecompress,
        Misbehaviour::PanicsInDecompress,
        Misbehaviour::ReturnsLess,
        Misbehaviour::ReturnsMore,
    ] {
        assert!(matches!(read(how, 1_000), Err(DecompressError::Invalid)), "{how:?}");
    }
    let known = [CustomCompressor::new(Halves(Misbehaviour::None))];
    let other = decompress(CompressionId::custom(6), &[9; 500], 1_000, Needs::Nothing, &known);
    assert!(matches!(other, Err(DecompressError::Unavailable(None))));
    // No release makes a delta with it.
    let delta = Needs::Base(&[9; 1_000]);
    let delta = decompress(CompressionId::custom(5), &[9; 500], 1_000, delta, &known);
    assert!(matches!(delta, Err(DecompressError::Invalid)));
}

#[test]
fn an_id_of_this_crate_is_refused() {
    #[derive(Debug)]
    struct Impostor(u8);

    impl Compressor for Impostor {
        fn id(&self) -> CompressionId {
            CompressionId::from_byte(self.0)
        }

        fn name(&self) -> &'static str {
            "impostor"
        }

        fn compress(&self, _: &[u8]) -> Result<Option<Vec<u8>>, BoxError> {
            Ok(Some(Vec::new()))
        }

        fn decompress(&self, _: &[u8], raw_bytes: usize) -> Result<Vec<u8>, BoxError> {
            Ok(vec![7; raw_bytes])
        }
    }

    for id in [0, 1, 2, 3, 127] {
        let of = Compression::custom(Impostor(id));
        let error = of.check_available().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("ids below 128"), "{error}");
        assert_eq!(
            of.apply(&[7; 1_000]).err().map(|error| error.kind()),
            (id > 0).then_some(ErrorKind::InvalidInput)
        );
    }
    for id in [128, 255] {
        let of = Compression::custom(Impostor(id));
        assert!(of.check_available().is_ok());
        assert!(of.apply(&[7; 1_000]).unwrap().is_some());
    }
}

/// Other tests take and keep buffers as well, which makes no difference to what is checked here.
#[test]
fn a_kept_buffer_shows_nothing_of_an_earlier_payload() {
    let large: Vec<u8> = (0..600_000_u32).map(|n| (n % 7) as u8).collect();
    let small = vec![9; 300_000];
    for of in all() {
        let stored = [&large, &small].map(|raw| of.apply(raw).unwrap().unwrap());
        for (Compressed { id, bytes, .. }, raw) in
            stored.iter().zip([&large, &small]).cycle().take(6)
        {
            assert_eq!(*decompress(*id, bytes, raw.len(), Needs::Nothing, &[]).unwrap(), raw[..]);
            for wrong in [raw.len() - 1, raw.len() + 1] {
                assert!(decompress(*id, bytes, wrong, Needs::Nothing, &[]).is_err());
            }
        }
    }
}
