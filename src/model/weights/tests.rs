use super::*;
use std::fs;

type Files<'a> = &'a [(&'a str, &'a [u8])];

/// Bytes of a safetensors file with the given tensors.
fn file(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let listed =
        tensors.iter().map(|(name, dtype, shape, data)| (*name, *dtype, *shape, data.len()));
    let mut bytes = Header::write(&BTreeMap::new(), listed);
    tensors.iter().for_each(|(.., data)| bytes.extend(*data));
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn folder(files: Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("write");
    }
    folder
}

fn refusal(files: Files) -> String {
    let folder = folder(files);
    let error = Weights::open(folder.path()).expect_err("must be refused");
    let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

#[test]
fn a_single_file_gives_its_tensors_in_every_dtype() {
    let half = half::f16::from_f32(-1.5).to_le_bytes();
    let brain = half::bf16::from_f32(3.0).to_le_bytes();
    let bytes = file(&[
        ("w", Dtype::F32, &[2, 3], &floats(&[0., 1., 2., 3., 4., 5.])),
        ("h", Dtype::F16, &[1], &half),
        ("b", Dtype::BF16, &[1, 1], &brain),
    ]);
    let folder = folder(&[(SINGLE, &bytes)]);
    let weights = Weights::open(folder.path()).expect("valid");
    assert_eq!(weights.names().collect::<Vec<_>>(), ["b", "h", "w"]);
    assert_eq!(weights.shape("w").expect("known"), [2, 3]);
    assert_eq!(weights.dtype("b").expect("known"), Dtype::BF16);
    assert_eq!(weights.bytes("h").expect("known"), half);
    assert_eq!(weights.shard_of("w").expect("known"), folder.path().join(SINGLE));
    let load = |name| weights.load_f32(name, &Device::Cpu).expect("finite");
    assert_eq!(load("w").to_vec2::<f32>().expect("2-D"), [[0., 1., 2.], [3., 4., 5.]]);
    assert_eq!(load("h").to_vec1::<f32>().expect("1-D"), [-1.5]);
    assert_eq!(load("b").to_vec2::<f32>().expect("2-D"), [[3.0]]);
    let described = [b"BF16 [1, 1]\n", &brain[..]].concat();
    assert_eq!(weights.sha256("b").expect("known"), Sha256::of(described));
}

#[test]
fn a_tensor_of_several_pieces_is_read_whole_again_and_again() {
    let values: Vec<f32> = (0..2 * PIECE + 5).map(|i| i as f32).collect();
    let bytes = file(&[("t", Dtype::F32, &[values.len()], &floats(&values))]);
    let folder = folder(&[(SINGLE, &bytes)]);
    let weights = Weights::open(folder.path()).expect("valid");
    let digest = weights.sha256("t").expect("known");
    for _ in 0..2 {
        assert_eq!(weights.load_vec("t").expect("finite"), values);
        assert_eq!(weights.sha256("t").expect("known"), digest);
    }
}

#[test]
fn shards_are_found_through_the_index() {
    let one = file(&[("a", Dtype::F32, &[1], &floats(&[1.]))]);
    let two =
        file(&[("b", Dtype::F32, &[1], &floats(&[2.])), ("c", Dtype::F32, &[], &floats(&[3.]))]);
    let index = br#"{"metadata":{"total_size":12},"weight_map":{"a":"1.safetensors","c":"2.safetensors","b":"2.safetensors"}}"#;
    let folder = folder(&[("1.safetensors", &one), ("2.safetensors", &two), (INDEX, index)]);
    let weights = Weights::open(folder.path()).expect("valid");
    assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(weights.load_vec("c").expect("finite"), [3.]);
    assert_eq!(weights.shard_of("b").expect("known"), folder.path().join("2.safetensors"));
    assert_eq!(weights.shards().count(), 2);
}

#[test]
fn bad_folders_are_refused_with_file_and_tensor() {
    let good = file(&[("a", Dtype::F32, &[1], &floats(&[1.]))]);
    let truncated = &good[..good.len() - 1];
    let cases: &[(Files, &str)] = &[
        (&[], "holds neither model.safetensors nor model.safetensors.index.json"),
        (&[("pytorch_model.bin", b"")], "has to be converted to safetensors"),
        (
            &[(SINGLE, truncated)],
            r#"model.safetensors is not a whole safetensors file: the file is truncated: tensor "a""#,
        ),
        (&[(SINGLE, b"")], "it is empty"),
        (
            &[(INDEX, br#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors"}}"#)],
            r#"shard "1.safetensors" is missing in "#,
        ),
        (
            &[
                ("1.safetensors", &good),
                (INDEX, br#"{"weight_map":{"a":"1.safetensors","b":"1.safetensors"}}"#),
            ],
            r#"1.safetensors lacks tensor "b""#,
        ),
        (
            &[(INDEX, br#"{"weight_map":{"a":"../1.safetensors"}}"#)],
            r#"tensor "a" is placed in "../1.safetensors""#,
        ),
        (
            &[(INDEX, br#"{"weight_map":{"a":"/1.safetensors"}}"#)],
            "expected the name of a .safetensors file",
        ),
        (
            &[(INDEX, br#"{"weight_map":{"a":"config.json"}}"#)],
            "expected the name of a .safetensors file",
        ),
        (
            &[(INDEX, br#"{"weight_map":{"a":"1.safetensors","a":"1.safetensors"}}"#)],
            r#"the name "a" occurs twice"#,
        ),
        (&[(INDEX, b"{}")], "missing field `weight_map`"),
    ];
    for (files, message) in cases {
        let error = refusal(files);
        assert!(error.contains(message), "expected {message:?} in {error:?}");
    }
}

#[test]
fn unusable_tensors_are_named_when_they_are_loaded() {
    let bytes = file(&[
        ("bad", Dtype::F32, &[4], &floats(&[1., f32::NAN, f32::INFINITY, 0.])),
        ("codes", Dtype::U8, &[2], &[1, 2]),
    ]);
    let folder = folder(&[(SINGLE, &bytes)]);
    let weights = Weights::open(folder.path()).expect("valid");
    let failure = |name| weights.load_f32(name, &Device::Cpu).expect_err("refused").to_string();
    assert!(failure("bad").contains(r#"tensor "bad" in"#), "{}", failure("bad"));
    assert!(failure("bad").contains("has 2 NaN or infinite weights of 4"));
    assert!(failure("codes").contains("is U8, expected F32, F16 or BF16"));
    assert!(failure("none").contains(r#"has no tensor "none""#));
}
