//! Any bytes: an import or an error, never a panic and never a huge allocation.

use std::{io, sync::LazyLock};

use proptest::prelude::*;

use super::{
    fixture::{text_value, u32_value},
    *,
};

/// Everything an import does with the bytes of a file, into thin air.
fn read(bytes: &[u8]) -> Result<(), String> {
    let header = GgufHeader::parse(bytes).map_err(|fault| fault.to_string())?;
    let model = Model::describe(&header).map_err(|fault| fault.to_string())?;
    model.texts(ImportDtype::F16).map_err(|fault| fault.to_string())?;
    let head = model.sizes.head;
    let conversion = Conversion { header: &header, dtype: ImportDtype::F16, head };
    match conversion.write(&model.plan, &mut io::sink(), &Silent) {
        Err(Failure::Fault(fault)) => Err(fault.to_string()),
        Ok(_) => Ok(()),
        Err(_) => panic!("a sink takes everything and nobody interrupts"),
    }
}

/// A small file, and where its tensor data begin.
static SMALL: LazyLock<(Vec<u8>, usize)> = LazyLock::new(|| {
    let file = llama(32, 1, &[GgmlDType::Q8_0, GgmlDType::Q4_1]);
    let bytes = file.bytes();
    let data: usize =
        file.tensors.iter().map(|stored| stored.data.len().next_multiple_of(32)).sum();
    let start = bytes.len().next_multiple_of(32) - data;
    (bytes, start)
});

#[test]
fn the_unharmed_file_is_read() {
    assert_eq!(read(&SMALL.0), Ok(()));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (bytes, data) = &*SMALL;
    for length in (0..*data).chain((*data..bytes.len()).step_by(97)) {
        assert!(read(&bytes[..length]).is_err(), "cut to {length} of {}", bytes.len());
    }
}

#[test]
fn lists_in_lists_do_not_exhaust_the_stack() {
    let mut file = llama(32, 1, &[GgmlDType::F32]);
    let level = [9u32.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat();
    file.set("deep", [9u32.to_le_bytes().to_vec(), level.repeat(100_000)].concat());
    let message = read(&file.bytes()).unwrap_err();
    assert_eq!(message, "the value of key \"deep\" is nested too deeply, expected 8 levels");
}

#[test]
fn announced_lengths_are_paid_for_with_bytes_before_memory_is_asked_for() {
    for count in [u64::MAX, u64::MAX / 8, 1 << 40] {
        for kind in [0u32, 6, 8, 9, 12] {
            let mut file = llama(32, 1, &[GgmlDType::F32]);
            let list = [9u32.to_le_bytes(), kind.to_le_bytes()].concat();
            file.keys.insert(0, ("long".to_owned(), [list, count.to_le_bytes().to_vec()].concat()));
            assert!(read(&file.bytes()).is_err(), "{count} values of type {kind}");
        }
    }
    let mut file = llama(32, 1, &[GgmlDType::F32]);
    file.set("llama.block_count", u32_value(1 << 30));
    assert_eq!(read(&file.bytes()).unwrap_err(), "tensor \"blk.1.attn_norm.weight\" is missing");
}

#[test]
fn odd_tokens_do_not_upset_the_tokenizer_library() {
    for odd in ["", " ", "\u{0}", "\u{feff}", "a b", "\u{10ffff}"] {
        let mut file = llama(32, 1, &[GgmlDType::F32]);
        let place = file.keys.iter().position(|(key, _)| key == "tokenizer.ggml.tokens").unwrap();
        let old = text_value("<tool>").split_off(4);
        let at = file.keys[place].1.windows(old.len()).position(|window| window == old).unwrap();
        let new = text_value(odd).split_off(4);
        file.keys[place].1.splice(at..at + old.len(), new);
        let _ = read(&file.bytes());
    }
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..9),
        prop_oneof![Just(u64::MAX), Just(1 << 63), Just(1 << 32), Just(0), 0u64..300]
            .prop_map(|number| number.to_le_bytes().to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_header_never_panics(
        damage in prop::collection::vec((any::<prop::sample::Index>(), word()), 1..4)
    ) {
        let (mut bytes, header) = SMALL.clone();
        for (place, word) in damage {
            let at = place.index(header);
            let end = (at + word.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
        let _ = read(&bytes);
    }

    #[test]
    fn damaged_weights_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..64)
    ) {
        let (mut bytes, header) = SMALL.clone();
        for (place, byte) in damage {
            let at = header + place.index(bytes.len() - header);
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn noise_behind_the_magic_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&[&b"GGUF\x03\0\0\0"[..], &noise].concat());
    }
}
