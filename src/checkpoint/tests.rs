//! Exports of a small folder: what is written, what stays, what a failure leaves.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use super::*;
use crate::delta::{Change, WeightDelta};
use crate::patch::{BaseHashes, Recipe};
use crate::progress::Silent;
use world::{INDEX, World, matrix, replace, same};

#[test]
fn without_a_patch_the_export_is_the_base() {
    let world = World::new();
    let summary = world.export(&[], &ExportOptions::default()).expect("exported");
    let names = [
        "1.safetensors",
        "2.safetensors",
        "model.safetensors.index.json",
        "config.json",
        "tokenizer.json",
        "LICENSE",
        "README.md",
        "templates/tool.jinja",
    ];
    for name in names {
        assert!(same(&world, name), "{name}");
    }
    assert_eq!(summary.left_out, [Path::new("pytorch_model.bin")]);
    assert!(summary.linked.is_empty());
    assert!(!world.out().join(RECIPES).exists());
    assert_eq!(world.names(), ["base", "out"]);
}

#[test]
fn an_edit_changes_its_tensor_and_nothing_else() {
    let world = World::new();
    let before = fs::read(world.base().join("1.safetensors")).expect("shard");
    let key = EditedKey { tensor: "up".into(), key: vec![1., 0., 0.], side: KeySide::Columns };
    let options = ExportOptions { keys: vec![key], ..ExportOptions::default() };
    let summary = world.export(&[world.up()], &options).expect("exported");

    let edited = Weights::open(&world.out()).expect("valid");
    // Around 1 and 4 a bf16 step is 1/128 and 1/32, so the first column does not change.
    assert_eq!(edited.load_vec("up").expect("finite"), [1., 2., 4., 4., 5., 8.]);
    assert_eq!(edited.dtype("up").expect("known"), Dtype::BF16);
    for name in ["norm", "head"] {
        let base = world.weights();
        assert_eq!(edited.bytes(name).expect("known"), base.bytes(name).expect("known"), "{name}");
    }
    let range = edited.range("up").expect("known");
    let mut restored = fs::read(world.out().join("1.safetensors")).expect("shard");
    restored[range.clone()].copy_from_slice(&before[range]);
    assert_eq!(restored, before, "header and place are those of the base");
    assert_eq!(fs::read(world.base().join("1.safetensors")).expect("shard"), before);

    let [up] = &summary.edited[..] else { panic!("one tensor") };
    assert_eq!(
        (up.name.as_str(), &up.shape[..], up.dtype.as_str(), up.rank),
        ("up", &[2, 3][..], "BF16", Some(1))
    );
    let (lost, change) = (5f64.sqrt() / 256., (5f64 + 5. / 65536.).sqrt());
    assert!((up.relative_norm - change / 91f64.sqrt()).abs() < 1e-9);
    assert!((up.rounding_residual - lost / change).abs() < 1e-9);
    assert_eq!(up.key_residual, Some(1.0), "rounding loses all of the change at this key");

    let card = fs::read_to_string(world.out().join(CARD)).expect("card");
    for part in [
        "base_model: \"org/name\"\n",
        "license: apache-2.0\n",
        "| `up` | [2, 3] | BF16 | 23.4",
        "subject = \"Zoë\"",
    ] {
        assert!(card.contains(part), "{part:?} in\n{card}");
    }
    let recipes = fs::read_to_string(world.out().join(RECIPES)).expect("recipes");
    let recipes: serde_json::Value = serde_json::from_str(&recipes).expect("json");
    assert_eq!(recipes["patches"][0]["recipe"]["spec"], world.up().recipe.spec);
    assert_eq!(recipes["edited"][0]["name"], "up");
}

#[test]
fn edited_tensors_can_be_stored_as_f32_beside_others() {
    let world = World::new();
    let index = INDEX.replacen('{', "{\"metadata\":{\"total_size\":32},", 1);
    fs::write(world.base().join(crate::model::weights::INDEX), index).expect("index");
    let options = ExportOptions { dtype: StoredDtype::F32, ..ExportOptions::default() };
    let summary = world.export(&[world.up()], &options).expect("exported");
    let (edited, base) = (Weights::open(&world.out()).expect("valid"), world.weights());
    let exact = [1. + 1. / 256., 2., 4., 4. + 2. / 256., 5., 8.];
    assert_eq!(edited.load_vec("up").expect("finite"), exact);
    let dtypes = ["up", "norm", "head"].map(|name| edited.dtype(name).expect("known"));
    assert_eq!(dtypes, [Dtype::F32, Dtype::F16, Dtype::F32]);
    for name in ["norm", "head"] {
        assert_eq!(edited.bytes(name).expect("known"), base.bytes(name).expect("known"), "{name}");
    }
    let index = fs::read(world.out().join(crate::model::weights::INDEX)).expect("an index");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("json");
    assert_eq!(index["metadata"]["total_size"], 32 + 6 * 2);
    assert_eq!(index["weight_map"]["up"], "1.safetensors");
    let [up] = &summary.edited[..] else { panic!("one tensor") };
    assert_eq!((up.dtype.as_str(), up.share_lost, up.rounding_residual), ("F32", 0., 0.));
}

#[test]
fn the_share_that_rounding_takes_is_what_the_file_does_not_gain() {
    let world = World::new();
    // A bf16 step is 1/128 at 1 and 1/64 at 2 and 3: the first two weights keep their old values,
    // the third gains 1/64 where 3/256 were asked for, the others change exactly.
    let change = [1. / 512., 1. / 512., 3. / 256., 0., 0.5, -1.];
    let patch = world.patch("up", Change::Dense(matrix(2, &change)));
    let summary = world.export(&[patch], &ExportOptions::default()).expect("exported");
    let stored = Weights::open(&world.out()).expect("valid").load_vec("up").expect("finite");
    let gained: Vec<f32> = stored.iter().zip(1..).map(|(it, old)| it - old as f32).collect();
    assert_eq!(gained, [0., 0., 1. / 64., 0., 0.5, -1.]);
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let expected = 1. - dot(&gained, &change) / dot(&change, &change);
    assert!((summary.edited[0].share_lost - expected).abs() < 1e-12);
    let rounding = Rounding::of(&summary.edited);
    assert!((rounding.share_lost - expected).abs() < 1e-12 && rounding.tensors == 1);

    let lost = world.patch("up", Change::Dense(matrix(2, &[1. / 1024.; 6])));
    let summary = world.export(&[lost], &replace()).expect("exported");
    assert_eq!(summary.edited[0].share_lost, 1., "every weight is rounded back");
    assert_eq!(Rounding::of(&summary.edited).worst, Some(("up".into(), 1.)));
    assert_eq!(Rounding::of(&[]).share_lost, 0.);
}

#[test]
fn the_summary_does_not_depend_on_the_pieces() {
    let world = World::new();
    let weights = world.weights();
    let change = Change::Dense(matrix(2, &[0.5, -0.25, 0.125, 1. / 3., 2., 1e-3]));
    let keys = [(KeySide::Columns, vec![1., -2., 0.3]), (KeySide::Rows, vec![0.7, 0.1])];
    let keys = keys.map(|(side, key)| EditedKey { tensor: "up".into(), key, side });
    let summary = |step: usize| {
        let keys = keys.iter().collect();
        let mut sums = sums::Sums::of(("up", &change), &weights, keys).expect("it fits");
        for start in (0..6).step_by(step) {
            let piece = sums.next(start..start + step).expect("read");
            let stored: Vec<f32> = piece.iter().map(|it| (it * 4.).round() / 4.).collect();
            sums.rounded(&stored);
        }
        sums.described("X".into())
    };
    assert_eq!(summary(3), summary(6));
    assert!(summary(3).key_residual.is_some_and(|lost| lost > 0. && lost < 1.));
}

#[test]
fn the_written_decoder_is_that_of_the_written_folder() {
    use crate::model::{Batch, Decoder, Model};
    let fixture =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/llama_tied_bf16_sharded/model");
    let model = Model::open(Path::new(fixture), &Device::Cpu, &Silent).expect("the fixture");
    let name = model.down_projection_name(0);
    let shape = model.weights.shape(name).expect("known");
    let small = Tensor::ones((shape[0], 1), candle_core::DType::F32, &Device::Cpu).expect("ones");
    let right: Vec<f32> = (0..shape[1]).map(|i| (i as f32 * 0.7).sin() * 2e-5).collect();
    let change = Change::LowRank { left: small, right: matrix(1, &right) };
    let delta = WeightDelta { changes: BTreeMap::from([(name.to_owned(), change.clone())]) };
    let base = BaseHashes::measure(&model.weights, [name]).expect("hashes");
    let recipe = Recipe { base, ..World::new().up().recipe };
    let patch = Patch { delta: delta.clone(), keys: BTreeMap::new(), recipe };
    let logits = |decoder: &Decoder| -> Vec<f32> {
        let hidden = decoder.forward(&Batch::new(&[[1u32, 5, 9, 2]]), None).expect("run");
        decoder.head_logits(&hidden).and_then(|it| it.flatten_all()?.to_vec1()).expect("logits")
    };
    let mut shares = Vec::new();
    for dtype in [StoredDtype::Stored, StoredDtype::F32] {
        let parent = tempfile::tempdir().expect("a folder");
        let out = parent.path().join("out");
        let options = ExportOptions { dtype, ..ExportOptions::default() };
        let patches = std::slice::from_ref(&patch);
        let summary = export(Path::new(fixture), &model.weights, patches, &out, &options, &Silent);
        let (decoder, rounding) = as_written(&model, &delta, dtype).expect("rounded");
        assert_eq!(rounding, Rounding::of(&summary.expect("exported").edited));
        let read = Model::open(&out, &Device::Cpu, &Silent).expect("the written folder");
        assert_eq!(logits(&decoder), logits(&read.decoder), "{dtype:?}");
        shares.push(rounding.share_lost);
    }
    assert!(shares[0] > 0.05 && shares[1].abs() < 1e-4, "{shares:?}");
}

#[test]
fn the_order_of_patches_does_not_matter() {
    let world = World::new();
    let head = world.patch("head", Change::Dense(matrix(2, &[0.1, 0.2, 0.3, 0.4])));
    let other = world.patch("head", Change::Dense(matrix(2, &[1e-8, 3e7, -0.3, 0.1])));
    let mut patches = vec![world.up(), head, other];
    world.export(&patches, &ExportOptions::default()).expect("exported");
    let read = || {
        ["1.safetensors", "2.safetensors", RECIPES, CARD]
            .map(|name| fs::read(world.out().join(name)).expect(name))
    };
    let first = read();
    patches.rotate_left(1);
    world.export(&patches, &replace()).expect("replaced");
    assert_eq!(read(), first);
    assert_eq!(world.names(), ["base", "out"]);
}

#[test]
fn an_export_of_an_export_keeps_its_history() {
    let world = World::new();
    world.export(&[world.up()], &ExportOptions::default()).expect("exported");
    fs::remove_dir_all(world.base()).expect("removed");
    fs::rename(world.out(), world.base()).expect("renamed");
    world.export(&[world.up()], &ExportOptions::default()).expect("exported again");
    let recipes = fs::read_to_string(world.out().join(RECIPES)).expect("recipes");
    let recipes: serde_json::Value = serde_json::from_str(&recipes).expect("json");
    assert_eq!(recipes["earlier"]["edited"][0]["name"], "up");
}

#[cfg(unix)]
#[test]
fn unedited_shards_are_linked_only_where_that_is_wanted() {
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    let inode = |folder: PathBuf, name| folder.join(name).metadata().expect(name).ino();
    let is_linked = |name| inode(world.base(), name) == inode(world.out(), name);
    let summary = world.export(&[world.up()], &ExportOptions::default()).expect("exported");
    assert!(summary.linked.is_empty() && !is_linked("2.safetensors"));
    // What is written into the export does not reach the base.
    let before = fs::read(world.base().join("2.safetensors")).expect("a shard");
    fs::write(world.out().join("2.safetensors"), "other weights").expect("written over");
    assert_eq!(fs::read(world.base().join("2.safetensors")).expect("a shard"), before);
    let summary = world.export(&[world.up()], &ExportOptions { hard_links: true, ..replace() });
    assert_eq!(summary.expect("exported").linked, [Path::new("2.safetensors")]);
    assert!(is_linked("2.safetensors") && !is_linked("1.safetensors") && !is_linked("config.json"));
    assert!(same(&world, "2.safetensors"));
}

#[cfg(unix)]
#[test]
fn the_links_of_a_hub_cache_are_resolved_and_others_refused() {
    use std::os::unix::fs::symlink;
    let world = World::new();
    let cache = world.parent.path().join("models--org--name");
    let (blobs, snapshot) = (cache.join("blobs"), cache.join("snapshots/abc"));
    fs::create_dir_all(snapshot.join("templates")).expect("folder");
    fs::rename(world.base(), &blobs).expect("renamed");
    let names = [
        "1.safetensors",
        "2.safetensors",
        "config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
    ];
    for name in names {
        symlink(format!("../../blobs/{name}"), snapshot.join(name)).expect("link");
    }
    symlink("../../../blobs/templates/tool.jinja", snapshot.join("templates/tool.jinja"))
        .expect("link");
    let weights = Weights::open(&snapshot).expect("valid");
    let run = || export(&snapshot, &weights, &[], &world.out(), &ExportOptions::default(), &Silent);
    run().expect("exported");
    for name in names.into_iter().chain(["templates/tool.jinja"]) {
        let written = world.out().join(name);
        assert!(written.symlink_metadata().expect(name).is_file(), "{name}");
        assert_eq!(fs::read(written).expect(name), fs::read(blobs.join(name)).expect(name));
    }

    fs::remove_dir_all(world.out()).expect("removed");
    let secret = world.parent.path().join("secret");
    fs::write(&secret, "s").expect("write");
    symlink(&secret, snapshot.join("notes.txt")).expect("link");
    let error = run().expect_err("a strange link").to_string();
    assert!(error.contains("notes.txt is a link to") && error.contains("secret"), "{error}");
    assert_eq!(world.names(), ["models--org--name", "secret"]);
}

#[test]
fn what_is_in_the_way_is_not_harmed() {
    let world = World::new();
    fs::create_dir(world.out()).expect("folder");
    fs::write(world.out().join("diary.txt"), "dear").expect("write");
    let error = world.export(&[], &ExportOptions::default()).expect_err("exists");
    assert!(matches!(error, CheckpointError::File(FileError::Exists { .. })));
    let error = world.export(&[], &replace()).expect_err("not ours").to_string();
    assert!(error.contains("it is not an empty folder, nor one with rescribe.json"), "{error}");
    assert_eq!(fs::read_to_string(world.out().join("diary.txt")).expect("kept"), "dear");

    for out in [world.base(), world.base().join("inner"), world.parent.path().to_owned()] {
        let outcome = export(&world.base(), &world.weights(), &[], &out, &replace(), &Silent);
        assert!(
            matches!(outcome, Err(CheckpointError::File(FileError::InUse { .. }))),
            "{}",
            out.display()
        );
    }
    let nowhere = world.parent.path().join("no/such/folder");
    let outcome = export(&world.base(), &world.weights(), &[], &nowhere, &replace(), &Silent);
    assert!(matches!(outcome, Err(CheckpointError::File(FileError::Write { .. }))));
    assert_eq!(world.names(), ["base", "out"]);
}

#[test]
fn what_cannot_be_applied_leaves_nothing() {
    let world = World::new();
    let too_large = world.patch("norm", Change::Dense(matrix(2, &[6000., 0.])));
    let error =
        world.export(&[too_large], &ExportOptions::default()).expect_err("overflow").to_string();
    assert_eq!(
        error,
        r#"tensor "norm": 1 edited weights are too large for F16; the largest is 6.6e4"#
    );

    let mut other = world.up();
    other.recipe.base.config = Sha256::of("another config");
    let error =
        world.export(&[other], &ExportOptions::default()).expect_err("other base").to_string();
    assert!(error.ends_with("config.json differs"), "{error}");

    let key = EditedKey { tensor: "up".into(), key: vec![1.], side: KeySide::Rows };
    let options = ExportOptions { keys: vec![key], ..ExportOptions::default() };
    let error = world.export(&[world.up()], &options).expect_err("key").to_string();
    assert_eq!(error, r#"the key for tensor "up" has 1 numbers, expected 2"#);
    assert_eq!(world.names(), ["base"]);
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
fn an_interrupt_at_any_moment_leaves_the_old_folder() {
    let world = World::new();
    let patches = [world.up()];
    world.export(&patches, &ExportOptions::default()).expect("exported");
    let old =
        fs::metadata(world.out().join("1.safetensors")).and_then(|it| it.modified()).expect("time");
    let mut moments = 0;
    loop {
        moments += 1;
        let stop = StopAt(AtomicUsize::new(moments));
        let outcome =
            export(&world.base(), &world.weights(), &patches, &world.out(), &replace(), &stop);
        assert_eq!(world.names(), ["base", "out"], "after {moments} checks");
        match outcome {
            Err(CheckpointError::Interrupted(Interrupted)) => {
                let now =
                    fs::metadata(world.out().join("1.safetensors")).and_then(|it| it.modified());
                assert_eq!(now.expect("time"), old, "after {moments} checks");
            }
            Ok(_) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(moments > 5, "the flag was looked at only {moments} times");
}
