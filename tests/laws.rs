//! Laws that hold for every input, each in a module named after what it is about.

#[path = "laws/solver.rs"]
mod solver;

mod disk {
    //! Patches, and the readers of untrusted bytes.

    use std::collections::BTreeMap;
    use std::fs;

    use candle_core::{Device, Tensor};
    use proptest::prelude::*;
    use rescribe::delta::{Change, WeightDelta};
    use rescribe::files::{Overwrite, Sha256};
    use rescribe::model::weights::Weights;
    use rescribe::patch::{BaseHashes, Patch, Recipe, SCHEMA, compose};

    fn matrix_of(
        value: impl Strategy<Value = f32>,
        rows: usize,
        columns: usize,
    ) -> impl Strategy<Value = Tensor> {
        proptest::collection::vec(value, rows * columns).prop_map(move |values| {
            Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
        })
    }

    /// A low-rank change of a tensor [2, 3], with factors below 1.
    fn low_rank() -> impl Strategy<Value = Change> {
        (1usize..4)
            .prop_flat_map(|rank| (matrix_of(-1f32..1., 2, rank), matrix_of(-1f32..1., rank, 3)))
            .prop_map(|(left, right)| Change::LowRank { left, right })
    }

    /// A change of a tensor [2, 3], of any magnitude.
    fn change() -> impl Strategy<Value = Change> {
        let value = prop_oneof![proptest::num::f32::NORMAL, proptest::num::f32::ZERO, -1f32..1.];
        prop_oneof![low_rank(), matrix_of(value, 2, 3).prop_map(Change::Dense)]
    }

    fn recipe(changes: &BTreeMap<String, Change>, spec: String, seed: u64) -> Recipe {
        let tensors = changes.keys().map(|name| (name.clone(), Sha256::of(name))).collect();
        Recipe {
            schema: SCHEMA,
            version: "0.1.0".into(),
            plan: serde_json::json!({ "clamp": 0.75, "text": spec }),
            spec,
            is_redacted: false,
            model: "org/name".into(),
            base: BaseHashes {
                tensors,
                weights: Sha256::of("w"),
                tokenizer: Sha256::of("t"),
                config: Sha256::of("c"),
            },
            seed,
            metrics: serde_json::json!([seed, null]),
            earlier: Vec::new(),
            from: Vec::new(),
        }
    }

    fn patch() -> impl Strategy<Value = Patch> {
        let name = "[a-c](\\.[a-z\"é]{0,3})?";
        let changes = proptest::collection::btree_map(name, change(), 0..4);
        (changes, ".{0,40}", any::<u64>()).prop_map(|(changes, spec, seed)| {
            let recipe = recipe(&changes, spec, seed);
            Patch { delta: WeightDelta { changes }, keys: BTreeMap::new(), recipe }
        })
    }

    fn delta(change: &Change) -> WeightDelta {
        WeightDelta { changes: BTreeMap::from([("t".to_owned(), change.clone())]) }
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().and_then(|flat| flat.to_vec1()).expect("an f32 tensor")
    }

    fn dense(change: &Change) -> Vec<f32> {
        values(&change.to_dense().expect("a tensor"))
    }

    /// Everything in a delta, with floats as bits.
    fn bits(delta: &WeightDelta) -> Vec<(String, Vec<usize>, Vec<Vec<u32>>)> {
        let bits = |tensor: &Tensor| values(tensor).into_iter().map(f32::to_bits).collect();
        let parts = |change: &Change| match change {
            Change::LowRank { left, right } => vec![bits(left), bits(right)],
            Change::Dense(dense) => vec![bits(dense)],
        };
        let changes = delta.changes.iter();
        changes.map(|(name, change)| (name.clone(), change.shape(), parts(change))).collect()
    }

    /// What a hostile writer may do to a file; positions count modulo its length.
    #[derive(Debug, Clone)]
    enum Mutation {
        Set(usize, u8),
        Cut(usize),
        Insert(usize, Vec<u8>),
        Swap(usize, usize),
        /// Puts another number in place of the next one in the text, where lengths and offsets are.
        Number(usize, u64),
    }

    fn mutation() -> impl Strategy<Value = Mutation> {
        let at = any::<usize>;
        let bytes = proptest::collection::vec(any::<u8>(), 1..9);
        let number = prop_oneof![any::<u64>(), Just(u64::MAX), 0u64..99];
        prop_oneof![
            (at(), any::<u8>()).prop_map(|(i, byte)| Mutation::Set(i, byte)),
            at().prop_map(Mutation::Cut),
            (at(), bytes).prop_map(|(i, bytes)| Mutation::Insert(i, bytes)),
            (at(), at()).prop_map(|(i, j)| Mutation::Swap(i, j)),
            (at(), number).prop_map(|(i, number)| Mutation::Number(i, number)),
        ]
    }

    fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match mutation {
            Mutation::Set(i, byte) => bytes[i % length] = *byte,
            Mutation::Cut(i) => bytes.truncate(i % length),
            Mutation::Insert(i, new) => {
                bytes.splice(i % length..i % length, new.iter().copied());
            }
            Mutation::Swap(i, j) => bytes.swap(i % length, j % length),
            Mutation::Number(i, number) => {
                let is_digit = |byte: &u8| byte.is_ascii_digit();
                let Some(start) = (i % length..length).find(|&k| is_digit(&bytes[k])) else {
                    return;
                };
                let end = (start..length).find(|&k| !is_digit(&bytes[k])).unwrap_or(length);
                bytes.splice(start..end, number.to_string().into_bytes());
            }
        }
    }

    fn mutated(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(mutation(), 1..4).prop_map(move |mutations| {
            let mut bytes = original.clone();
            mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
            bytes
        })
    }

    /// As [`mutated`], in half of the cases with a header length that fits the JSON
    /// again, so that the mutation reaches the checks behind it.
    fn mutated_safetensors(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
        (mutated(original), any::<bool>()).prop_map(|(mut bytes, is_repaired)| {
            let last_brace = bytes.iter().rposition(|&byte| byte == b'}');
            if let Some(last) = last_brace.filter(|&last| is_repaired && last >= 8) {
                bytes[..8].copy_from_slice(&(last as u64 - 7).to_le_bytes());
            }
            bytes
        })
    }

    /// A file whose header ends with its last brace: no padding, all data zero.
    fn weights_file() -> Vec<u8> {
        let json = br#"{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[16,24]}}"#;
        [&(json.len() as u64).to_le_bytes()[..], json, &[0; 24]].concat()
    }

    fn patch_file() -> Vec<u8> {
        let column = Tensor::from_vec(vec![1f32, 2., 3.], (3, 1), &Device::Cpu).expect("a matrix");
        let change = Change::LowRank { left: column.clone(), right: column.t().expect("a matrix") };
        let delta = delta(&change);
        let recipe = recipe(&delta.changes, "[[insert]]".into(), 3);
        Patch { delta, keys: BTreeMap::new(), recipe }.to_bytes().expect("a patch")
    }

    /// Opens a folder with the given files and loads every tensor; whether all that worked.
    fn is_readable(files: &[(&str, &[u8])]) -> bool {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("a file");
        }
        Weights::open(folder.path()).is_ok_and(|weights| {
            weights.names().all(|name| weights.load_f32(name, &Device::Cpu).is_ok())
        })
    }

    proptest! {
        #[test]
        fn a_patch_survives_its_file(patch in patch()) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("p.patch.safetensors");
            patch.write(&path, Overwrite::Refuse).expect("written");
            let back = Patch::read(&path).expect("read");
            prop_assert_eq!(&back.recipe, &patch.recipe);
            prop_assert_eq!(bits(&back.delta), bits(&patch.delta));
            prop_assert_eq!(back.sha256(), patch.sha256());
            prop_assert_eq!(back.to_bytes().expect("bytes"), fs::read(&path).expect("a file"));
        }

        #[test]
        fn composing_does_not_depend_on_the_order(
            (patches, shuffled) in proptest::collection::vec(patch(), 0..5)
                .prop_flat_map(|patches| (Just(patches.clone()), Just(patches).prop_shuffle()))
        ) {
            let (one, two) = (compose(&patches), compose(&shuffled));
            prop_assert_eq!(bits(&one.expect("one base")), bits(&two.expect("one base")));
        }

        #[test]
        fn low_rank_sums_are_associative_to_the_bit(a in low_rank(), b in low_rank(), c in low_rank()) {
            let (a, b, c) = (delta(&a), delta(&b), delta(&c));
            let left = a.clone().plus(&b).and_then(|ab| ab.plus(&c)).expect("shapes fit");
            let right = b.plus(&c).and_then(|bc| a.plus(&bc)).expect("shapes fit");
            prop_assert_eq!(bits(&left), bits(&right));
        }

        #[test]
        fn a_sum_of_factors_is_the_sum_of_products(a in low_rank(), b in low_rank()) {
            // Sums of at most six products of numbers below 1, each rounded to 2⁻²⁴.
            const TOLERANCE: f32 = 2e-6;
            let sum = dense(&a.plus(&b).expect("shapes fit"));
            for (sum, (a, b)) in sum.iter().zip(dense(&a).iter().zip(&dense(&b))) {
                prop_assert!((sum - (a + b)).abs() <= TOLERANCE, "{sum} and {a} + {b}");
            }
        }

        #[test]
        fn mutated_weights_are_read_or_refused(bytes in mutated_safetensors(weights_file())) {
            if is_readable(&[("model.safetensors", &bytes)]) {
                let format = safetensors::SafeTensors::deserialize(&bytes);
                prop_assert!(format.is_ok(), "accepted more than the format allows");
            }
        }

        #[test]
        fn mutated_indices_are_read_or_refused(
            bytes in mutated(br#"{"weight_map":{"a":"s.safetensors","b":"s.safetensors"}}"#.to_vec())
        ) {
            is_readable(&[("model.safetensors.index.json", &bytes), ("s.safetensors", &weights_file())]);
        }

        #[test]
        fn mutated_patches_are_read_or_refused(bytes in mutated_safetensors(patch_file())) {
            if let Ok(patch) = Patch::from_bytes(&bytes) {
                prop_assert!(patch.to_bytes().is_ok(), "what can be read can be written");
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Patch::from_bytes(&bytes).is_err());
            prop_assert!(!is_readable(&[("model.safetensors.index.json", &bytes)]));
        }
    }
}
