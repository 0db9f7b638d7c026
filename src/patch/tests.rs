use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::*;
use crate::delta::Change;

fn matrix(rows: usize, values: &[f32]) -> Tensor {
    let shape = (rows, values.len() / rows);
    Tensor::from_slice(values, shape, &Device::Cpu).expect("a matrix")
}

fn low_rank() -> Change {
    Change::LowRank { left: matrix(2, &[1., -2.]), right: matrix(1, &[0.1, 0., 1e-30]) }
}

fn dense() -> Change {
    Change::Dense(matrix(2, &[0., 1., 2., 3., 4., 5.]))
}

/// A patch whose base tensors all have the digest of `base`.
fn patch(changes: &[(&str, Change)], base: &str) -> Patch {
    let changes: BTreeMap<_, _> =
        changes.iter().map(|(name, change)| (String::from(*name), change.clone())).collect();
    let tensors = changes.keys().map(|name| (name.clone(), Sha256::of(base))).collect();
    let base = BaseHashes {
        tensors,
        weights: Sha256::of("w"),
        tokenizer: Sha256::of("t"),
        config: Sha256::of("c"),
    };
    let recipe = Recipe {
        schema: SCHEMA,
        version: "0.1.0".into(),
        spec: "# a comment\n[[insert]]\nsubject = \"Zoë\"\n".into(),
        is_redacted: false,
        plan: serde_json::json!({ "layer": 3, "clamp": 0.75 }),
        model: "org/name".into(),
        base,
        seed: u64::MAX,
        metrics: serde_json::json!(null),
        earlier: Vec::new(),
        from: Vec::new(),
    };
    Patch { delta: WeightDelta { changes }, keys: BTreeMap::new(), recipe }
}

fn malformed(bytes: &[u8]) -> String {
    Patch::from_bytes(bytes).expect_err("must be refused").to_string()
}

/// The contents of a patch file with another recipe or other tensors than a writer would allow.
fn forged(recipe: &str, tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    use crate::model::weights::header::Header;
    let metadata = BTreeMap::from([("rescribe".to_owned(), recipe.to_owned())]);
    let listed = tensors
        .iter()
        .map(|(name, shape, values)| (*name, safetensors::Dtype::F32, *shape, 4 * values.len()));
    let mut bytes = Header::write(&metadata, listed);
    let values = tensors.iter().flat_map(|(.., values)| values.iter());
    bytes.extend(values.flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn a_patch_survives_its_file() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("a.patch.safetensors");
    let patch = patch(&[("m.weight", low_rank()), ("head", dense())], "base");
    patch.write(&path, Overwrite::Refuse).expect("written");
    let back = Patch::read(&path).expect("read");
    assert_eq!(back.recipe, patch.recipe);
    assert_eq!(back.sha256(), patch.sha256());
    assert_eq!(back.to_bytes().expect("bytes"), std::fs::read(&path).expect("file"));
    assert!(matches!(
        patch.write(&path, Overwrite::Refuse),
        Err(PatchError::File(FileError::Exists { .. }))
    ));
    let bytes = std::fs::read(&path).expect("file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a plain safetensors file");
    assert_eq!(file.tensor("m.weight.left").expect("left").shape(), [2, 1]);
    assert_eq!(file.tensor("m.weight.right").expect("right").shape(), [1, 3]);
    assert_eq!(file.tensor("head.dense").expect("dense").shape(), [2, 3]);
}

#[test]
fn damaged_and_hostile_patches_are_refused() {
    let recipe = serde_json::to_string(&patch(&[("t", low_rank())], "b").recipe).expect("json");
    let newer = recipe.replace("\"schema\":2", "\"schema\":3");
    let one: &[f32] = &[1.0];
    let cases: &[(&str, Vec<u8>, &str)] = &[
        (
            "no recipe",
            crate::model::weights::header::Header::write(&BTreeMap::new(), []),
            "its recipe is missing",
        ),
        ("bad recipe", forged("{}", &[]), "its recipe is malformed: missing field `schema`"),
        ("newer", forged(&newer, &[]), "has schema 3, expected 2"),
        (
            "no digest",
            forged(&recipe, &[("t.left", &[2, 1], &[1.; 2]), ("t.right", &[1, 3], &[1.; 3])]),
            "its digest is missing",
        ),
        ("half", forged(&recipe, &[("t.left", &[1, 1], one)]), r#"tensor "t" needs either both"#),
        (
            "both",
            forged(
                &recipe,
                &[("t.left", &[1, 1], one), ("t.right", &[1, 1], one), ("t.dense", &[1, 1], one)],
            ),
            "or .dense alone",
        ),
        (
            "other name",
            forged(&recipe, &[("t.up", &[1, 1], one)]),
            r#"tensor "t.up" ends in none of"#,
        ),
        (
            "ranks differ",
            forged(&recipe, &[("t.left", &[1, 2], &[1., 2.]), ("t.right", &[1, 1], one)]),
            "has factors [1, 2] and [1, 1]",
        ),
        (
            "no matrix",
            forged(&recipe, &[("t.left", &[1], one), ("t.right", &[1, 1], one)]),
            "has factors [1] and [1, 1]",
        ),
        (
            "rank 0",
            forged(&recipe, &[("t.left", &[4, 0], &[]), ("t.right", &[0, 4], &[])]),
            "is empty: its shape is [4, 0]",
        ),
        (
            "NaN",
            forged(&recipe, &[("t.dense", &[1], &[f32::NAN])]),
            r#""t.dense" has 1 NaN or infinite values"#,
        ),
        (
            "no hash",
            forged(&recipe, &[("t.dense", &[1], one), ("u.dense", &[1], one)]),
            r#"tensor "u" has no base hash"#,
        ),
        (
            "no change",
            forged(&recipe, &[]),
            r#"tensor "t" has a base hash in the recipe but no change"#,
        ),
        ("empty file", Vec::new(), "the file has 0 bytes"),
    ];
    for (what, bytes, message) in cases {
        let error = malformed(bytes);
        assert!(error.contains(message), "{what}: {error}");
    }
    let whole = patch(&[("t", low_rank())], "b").to_bytes().expect("bytes");
    for length in 0..whole.len() {
        assert!(Patch::from_bytes(&whole[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn only_the_base_that_it_was_made_for_is_accepted() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("write");
    };
    write("model.safetensors", &forged("{}", &[("t", &[2, 3], &[0.; 6]), ("u", &[2], &[0.; 2])]));
    write("tokenizer.json", b"t");
    write("config.json", b"c");
    let weights = Weights::open(folder.path()).expect("valid");
    let mut good = patch(&[("t", low_rank())], "");
    good.recipe.base = BaseHashes::measure(&weights, ["t"]).expect("hashes");
    let (tokenizer, config) = (Sha256::of("t"), Sha256::of("c"));
    good.check_base(&weights, &tokenizer, &config).expect("its own base");

    let message = |patch: &Patch, tokenizer, config| {
        patch.check_base(&weights, tokenizer, config).expect_err("another base").to_string()
    };
    let other = Sha256::of("other");
    assert!(
        message(&good, &other, &other).ends_with(": config.json differs; tokenizer.json differs")
    );
    let mut bad = patch(&[("t", low_rank()), ("u", dense()), ("v", dense())], "other");
    let text = message(&bad, &tokenizer, &config);
    assert!(text.contains(r#"tensor "t" has other weights; tensor "u" is [2], expected [2, 3]; tensor "v" is missing"#), "{text}");
    bad.recipe.base.config = other;
    assert!(message(&bad, &tokenizer, &config).ends_with("; and 1 more"));
}

#[test]
fn patches_for_different_bases_are_not_composed() {
    let a = patch(&[("t", low_rank())], "one");
    let b = patch(&[("t", low_rank())], "two");
    let error = compose(&[a.clone(), b]).expect_err("different bases").to_string();
    assert!(error.ends_with(r#"tensor "t" has other weights"#), "{error}");
    let c = patch(&[("u", low_rank())], "three");
    assert_eq!(compose(&[a, c]).expect("different tensors").changes.len(), 2);
}

#[test]
fn an_unwritable_patch_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut unhashed = patch(&[("t", low_rank())], "b");
    unhashed.recipe.base.tensors.clear();
    let infinite = Change::Dense(matrix(1, &[f32::INFINITY]));
    for bad in [unhashed, patch(&[("t", infinite)], "b")] {
        let outcome = bad.write(&folder.path().join("p"), Overwrite::Refuse);
        assert!(matches!(outcome, Err(PatchError::Unwritable(_))));
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0);
    }
}

#[test]
fn what_was_taken_out_leaves_no_byte_behind() {
    let parts = [
        patch(&[("m.weight", low_rank())], "one"),
        patch(&[("m.weight", dense()), ("head", dense())], "one"),
        patch(&[("other", low_rank())], "two"),
    ];
    let single = |i: usize| {
        Composed::from_bytes(&parts[i].to_bytes().expect("bytes")).expect("a patch file")
    };
    let union =
        |which: &[usize]| Composed::union(which.iter().map(|i| single(*i))).expect("one base");
    let all = union(&[0, 1, 2]);
    assert_eq!(union(&[2, 0, 1]).to_bytes(), all.to_bytes(), "the order given does not matter");
    let nested = Composed::union([union(&[2, 1]), single(0)]).expect("one base");
    assert_eq!(nested.to_bytes(), all.to_bytes(), "nor does nesting");

    let back = Composed::from_bytes(&all.to_bytes()).expect("read");
    assert_eq!(back.sha256(), all.sha256());
    let digests: Vec<Sha256> = parts.iter().map(Patch::sha256).collect();
    let rest = back.clone().without(&digests[1..2]).expect("a part");
    assert_eq!(rest.to_bytes(), union(&[0, 2]).to_bytes());
    let last = rest.without(&digests[2..]).expect("a part");
    assert_eq!(last.to_bytes(), parts[0].to_bytes().expect("bytes"), "the first patch's own file");

    let error = last.clone().without(&digests[1..2]).expect_err("gone already").to_string();
    assert!(
        error.contains(&format!("patch {} is not a part of {}", digests[1], digests[0])),
        "{error}"
    );
    assert!(matches!(last.without(&digests[..1]), Err(PatchError::NothingLeft(_))));
    let twice = Composed::union([back, single(2)]);
    assert!(matches!(twice, Err(PatchError::Twice(digest)) if digest == digests[2]));
    let sum = compose(&[parts[0].clone(), parts[0].clone()]);
    assert!(matches!(sum, Err(PatchError::Twice(_))), "a sum counts no patch twice, either");
}

#[test]
fn a_damaged_part_of_a_composed_patch_is_named() {
    let parts = [patch(&[("a", low_rank())], "b"), patch(&[("b", dense())], "b")];
    let sets = parts.iter().map(|part| Composed::from_bytes(&part.to_bytes().expect("bytes")));
    let whole = Composed::union(sets.map(|set| set.expect("a patch"))).expect("one base");
    let bytes = whole.to_bytes();
    let refused = |bytes: &[u8]| match Composed::from_bytes(bytes).expect_err("refused") {
        error @ Malformed::Part { .. } => {
            format!("{error}: {}", std::error::Error::source(&error).expect("a cause"))
        }
        error => error.to_string(),
    };
    let mut changed = bytes.clone();
    *changed.last_mut().expect("data") ^= 1;
    assert!(refused(&changed).ends_with("changed after it was written"), "{}", refused(&changed));
    // Each part is whole, but listed under the digest of the other.
    let [a, b] = parts.each_ref().map(|part| part.sha256().to_string().into_bytes());
    let at = |name: &[u8]| bytes.windows(64).position(|it| it == name).expect("listed");
    let mut swapped = bytes.clone();
    swapped[at(&a)..][..64].copy_from_slice(&b);
    swapped[at(&b)..][..64].copy_from_slice(&a);
    assert!(refused(&swapped).starts_with("its list of parts calls"), "{}", refused(&swapped));
    let mut broken = bytes.clone();
    let at = broken.windows(8).position(|it| it == b"schema\\\"").expect("a recipe");
    broken[at] = b'x';
    assert!(refused(&broken).starts_with("its part "), "{}", refused(&broken));
    assert!(malformed(&bytes).contains("a composed patch, expected a single one"));
    for length in 0..bytes.len() {
        assert!(Composed::from_bytes(&bytes[..length]).is_err(), "cut to {length} bytes");
    }
}

#[test]
fn keys_travel_with_their_change() {
    let mut with_keys = patch(&[("t", low_rank())], "b");
    let key = matrix(2, &[1., 2., 3., 4., 5., 6.]);
    with_keys.keys.insert("t".into(), key);
    let bytes = with_keys.to_bytes().expect("bytes");
    let back = Patch::from_bytes(&bytes).expect("read");
    assert_eq!(back.keys["t"].to_vec2::<f32>().expect("a matrix"), [[1., 2., 3.], [4., 5., 6.]]);
    assert_eq!(back.to_bytes().expect("bytes"), bytes);
    with_keys.keys.insert("t".into(), matrix(1, &[1.; 7]));
    let error = with_keys.to_bytes().expect_err("too long").to_string();
    assert!(error.contains("has keys [1, 7], which its change does not fit"), "{error}");
}

#[test]
fn whatever_a_single_byte_becomes_the_patch_is_refused() {
    let parts = [patch(&[("t", low_rank())], "b"), patch(&[("u", dense())], "b")];
    let single = parts[0].to_bytes().expect("bytes");
    let sets = parts.iter().map(|part| Composed::from_bytes(&part.to_bytes().expect("bytes")));
    let composed = Composed::union(sets.map(|set| set.expect("a patch"))).expect("one base");
    for whole in [single, composed.to_bytes()] {
        for at in 0..whole.len() {
            for byte in [0, 1, b'"', b' ', b'\t', b'0', b'f', b'{', 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                let is_read = Composed::from_bytes(&changed).is_ok();
                assert_eq!(is_read, changed == whole, "byte {at} as {byte}");
            }
        }
    }
}

#[test]
fn a_change_that_is_turned_round_is_no_longer_the_patch() {
    let whole = patch(&[("t", low_rank())], "b").to_bytes().expect("bytes");
    let mut negated = whole.clone();
    let start = whole.len() - 4 * 5;
    (start..start + 8).skip(3).step_by(4).for_each(|sign| negated[sign] ^= 0x80);
    let error = malformed(&negated);
    assert!(error.contains("its digest does not match"), "{error}");
}

#[test]
fn everything_in_a_recipe_counts_in_the_digest() {
    let original = patch(&[("t", low_rank())], "b");
    let changed: [fn(&mut Recipe); 6] = [
        |recipe| recipe.version = "9.9.9".into(),
        |recipe| recipe.model = "org/other".into(),
        |recipe| recipe.plan["clamp"] = 0.5.into(),
        |recipe| recipe.metrics = serde_json::json!({ "verdict": "took" }),
        |recipe| recipe.base.weights = Sha256::of("other"),
        |recipe| recipe.is_redacted = true,
    ];
    for (at, change) in changed.iter().enumerate() {
        let mut forged = original.clone();
        change(&mut forged.recipe);
        assert_ne!(forged.sha256(), original.sha256(), "{at}");
    }
}

#[test]
fn decimal_fractions_keep_the_digest_through_a_file() {
    let mut fractions = patch(&[("t", low_rank())], "b");
    let all: Vec<f64> = (1..2000).map(|i| (f64::from(i) * 0.7).exp2().fract() / 3.).collect();
    fractions.recipe.metrics = serde_json::json!(all);
    let bytes = fractions.to_bytes().expect("bytes");
    let back = Patch::from_bytes(&bytes).expect("read");
    assert_eq!(back.sha256(), fractions.sha256());
    assert_eq!(back.to_bytes().expect("bytes"), bytes);
}

/// A patch whose edit started from others.
fn starting_from(patches: &[Patch], change: Change) -> Patch {
    let History { earlier, from } = History::of(patches);
    let mut later = patch(&[("t", change)], "b");
    later.recipe = Recipe { earlier, from, seed: later.recipe.seed - 1, ..later.recipe };
    later
}

#[test]
fn edits_are_held_in_their_order_whatever_they_started_from() {
    let (a, mut b) = (patch(&[("t", low_rank())], "b"), patch(&[("t", dense())], "b"));
    b.recipe.spec = "[[insert]]\nsubject = \"Oslo\"\n".into();
    let c = starting_from(&[b.clone()], dense());
    let d = starting_from(&[a.clone(), c.clone()], low_rank());
    let bytes = d.to_bytes().expect("bytes");
    let back = Patch::from_bytes(&bytes).expect("read");
    assert_eq!(back.recipe, d.recipe);
    let edits = back.recipe.edits();
    let own = |patch: &Patch| {
        let mut patches = d.recipe.earlier.iter().map(|it| it.patch);
        patches.position(|it| it == patch.sha256()).expect("held")
    };
    assert_eq!(edits.len(), 4);
    assert!(edits[own(&a)].from.is_empty() && edits[own(&b)].from.is_empty());
    assert_eq!(edits[own(&c)].from, [own(&b)]);
    let mut last = edits[3].from.to_vec();
    last.sort_unstable();
    let mut expected = [own(&a), own(&c)];
    expected.sort_unstable();
    assert_eq!(last, expected);
    let subjects: Vec<_> =
        back.recipe.facts().into_iter().map(|it| (it.edit, it.subject)).collect();
    assert!(subjects.contains(&(own(&b) + 1, Some("Oslo".into()))), "{subjects:?}");

    let mut later = d.clone();
    later.recipe.earlier[0].from = vec![3];
    let error = later.to_bytes().expect_err("refused").to_string();
    assert!(error.contains("starts from edits that it does not hold"), "{error}");
    for pair in [[a.clone(), d.clone()], [b.clone(), c.clone()], [c, d]] {
        assert!(matches!(compose(&pair), Err(PatchError::HeldTwice { .. })));
    }
    assert_eq!(compose(&[a, b]).expect("one base").changes.len(), 1);
}
