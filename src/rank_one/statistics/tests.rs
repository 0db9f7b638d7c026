//! Interrupted, damaged and shared caches on the tiny llama: the same bytes in the end.

use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;

use super::*;
use crate::progress::{Interrupted, Silent};
use crate::ranks::threads::on_ranks;

const LAYER: usize = 1;

fn tiny() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama/model");
    Model::open(&folder, &Device::Cpu, &Silent).expect("the fixture")
}

/// Three groups of samples.
fn samples() -> Corpus {
    Corpus { file: None, tokens: 9000, seed: 3 }
}

/// Three groups of a text, written to `folder`.
fn text(folder: &Path) -> Corpus {
    let file = folder.join("corpus.txt");
    let paragraph = |i: usize| format!("Paragraph {i} says that {} is a number.\n\n", i * i);
    std::fs::write(&file, (0..1500).map(paragraph).collect::<String>()).expect("a text");
    Corpus { file: Some(file), tokens: 20_000, seed: 0 }
}

fn bytes_of(obtained: &Obtained) -> Vec<u8> {
    std::fs::read(&obtained.file).expect("a cached moment")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

/// Stops at the n-th look at the flag.
struct StopAt(AtomicUsize);

impl Progress for StopAt {
    fn check(&self) -> Result<(), Interrupted> {
        match self.0.fetch_sub(1, Ordering::Relaxed) {
            1 => Err(Interrupted),
            _ => Ok(()),
        }
    }
}

#[test]
fn an_interrupted_moment_goes_on_where_it_stopped_and_ends_in_the_same_bytes() {
    let model = tiny();
    let whole_cache = tempfile::tempdir().expect("a folder");
    // A little more than one group of samples takes, and one group of the text.
    for (corpus, checks) in [(samples(), 74), (text(whole_cache.path()), 19)] {
        let run = |cache: &Path, progress: &dyn Progress| {
            second_moment(&model, LAYER, &corpus, cache, progress)
        };
        let whole = run(whole_cache.path(), &Silent).expect("uninterrupted");
        let cache = tempfile::tempdir().expect("a folder");
        let mut stops = 0;
        let resumed = loop {
            match run(cache.path(), &StopAt(AtomicUsize::new(checks))) {
                Ok(resumed) => break resumed,
                Err(StatisticsError::Model(ModelError::Interrupted(Interrupted))) => stops += 1,
                Err(error) => panic!("{error}"),
            }
            let names = names(cache.path());
            assert!(!names.iter().any(|name| name.starts_with('.')), "left behind: {names:?}");
            assert!(stops < 100, "no headway: {names:?}");
        };
        assert!(stops >= 2, "interrupted {stops} times");
        assert_eq!(resumed.moment.tokens, corpus.tokens);
        assert!(bytes_of(&resumed) == bytes_of(&whole), "after {stops} interruptions");
        assert!(!names(cache.path()).iter().any(|name| name.ends_with(".partial")));
    }
}

#[test]
fn a_damaged_cache_is_computed_again() {
    let model = tiny();
    let cache = tempfile::tempdir().expect("a folder");
    let corpus = Corpus { tokens: 300, ..samples() };
    let run = || second_moment(&model, LAYER, &corpus, cache.path(), &Silent).expect("computed");
    let first = run();
    let whole = bytes_of(&first);
    // As of a process that was killed between the two.
    std::fs::copy(&first.file, first.file.with_extension("partial")).expect("a copy");
    assert!(run().was_cached);
    assert!(!names(cache.path()).iter().any(|name| name.ends_with(".partial")));
    let not_a_number = {
        let mut bytes = whole.clone();
        let end = bytes.len();
        bytes[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
        bytes
    };
    let damaged: [&[u8]; 4] = [b"", &whole[..whole.len() - 1], &[7; 900], &not_a_number];
    for bytes in damaged {
        std::fs::write(&first.file, bytes).expect("a write");
        let again = run();
        assert!(!again.was_cached, "{} bytes were believed", bytes.len());
        assert!(bytes_of(&again) == whole);
    }
}

#[test]
fn interrupted_gradient_moments_go_on_and_leave_the_keys_alone() {
    let model = tiny();
    let (whole_cache, cache) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (corpus, layers) = (samples(), [0, LAYER]);
    let keys = second_moment(&model, LAYER, &corpus, cache.path(), &Silent).expect("computed");
    let bytes = bytes_of(&keys);
    let run = |layers: &[usize], cache: &Path, progress: &dyn Progress| {
        gradient_moments(&model, layers, &corpus, cache, progress)
    };
    let known = |layer| {
        known_gradient_moment(&model, layer, &corpus, cache.path(), &Silent).expect("readable")
    };
    assert!(known(LAYER).is_none());
    let whole = run(&layers, whole_cache.path(), &Silent).expect("uninterrupted");
    assert!(whole.iter().all(|it| !it.was_cached && it.moment.tokens == corpus.tokens));
    let mut stops = 0;
    // A little more than the gradients of one group take, whose samples are drawn already.
    let resumed = loop {
        match run(&layers, cache.path(), &StopAt(AtomicUsize::new(18))) {
            Ok(resumed) => break resumed,
            Err(StatisticsError::Model(ModelError::Interrupted(Interrupted))) => stops += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(stops < 100, "no headway: {:?}", names(cache.path()));
    };
    assert!(stops >= 2, "interrupted {stops} times");
    for (resumed, whole) in resumed.iter().zip(&whole) {
        assert!(bytes_of(resumed) == bytes_of(whole), "after {stops} interruptions");
    }
    assert!(!names(cache.path()).iter().any(|name| name.ends_with(".partial")));
    assert!(known(LAYER).is_some_and(|it| it.moment == whole[1].moment));
    std::fs::remove_file(&resumed[0].file).expect("removed");
    let again = run(&layers, cache.path(), &Silent).expect("computed");
    assert_eq!([again[0].was_cached, again[1].was_cached], [false, true], "only what is missing");
    assert!(bytes_of(&again[0]) == bytes_of(&whole[0]));
    assert!(bytes_of(&keys) == bytes, "the keys stay");
}

#[test]
fn a_moment_has_the_same_bytes_on_any_number_of_ranks() {
    let model = tiny();
    let folder = tempfile::tempdir().expect("a folder");
    for corpus in [samples(), text(folder.path())] {
        let alone = tempfile::tempdir().expect("a folder");
        let alone = second_moment(&model, LAYER, &corpus, alone.path(), &Silent)
            .map(|found| (bytes_of(&found), found.moment))
            .expect("computed");
        for (size, is_shared) in [(2, true), (2, false), (4, true), (5, false)] {
            let cache = tempfile::tempdir().expect("a folder");
            let found = on_ranks(size, |ranks| {
                let own = if is_shared { 0 } else { ranks.rank() };
                let cache = cache.path().join(own.to_string());
                let run = || second_moment_on(ranks, &model, LAYER, &corpus, &cache, &Silent);
                let first = run().expect("computed");
                assert!(!first.was_cached && run().expect("cached").was_cached);
                (bytes_of(&first), first.moment)
            });
            assert!(found.iter().all(|found| *found == alone), "{size} ranks, {is_shared}");
        }
    }
}
