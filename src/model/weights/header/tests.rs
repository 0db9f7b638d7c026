use super::*;

fn file(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn a_good_header_is_read_whatever_the_order_of_its_names() {
    let json = r#"{"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},
        "__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
    let header = Header::parse(&file(json, 16)).expect("a valid header");
    let start = 8 + json.len();
    assert_eq!(header.metadata["format"], "pt");
    assert_eq!(
        header.tensors["a"],
        Entry { dtype: Dtype::F32, shape: vec![], range: start..start + 4 }
    );
    assert_eq!(
        header.tensors["b"],
        Entry { dtype: Dtype::BF16, shape: vec![2, 3], range: start + 4..start + 16 }
    );
}

#[test]
fn what_is_written_is_read_and_the_data_is_aligned() {
    let metadata = BTreeMap::from([("key".to_owned(), "a \"quoted\"\n text".to_owned())]);
    let tensors = [("z", Dtype::F32, &[2, 2][..], 16), ("a", Dtype::F16, &[3][..], 6)];
    let mut bytes = Header::write(&metadata, tensors);
    assert_eq!(bytes.len() % 8, 0);
    bytes.extend([0; 22]);
    let header = Header::parse(&bytes).expect("our own header");
    assert_eq!(header.metadata, metadata);
    assert_eq!(header.tensors["z"].range.start, bytes.len() - 22);
    assert_eq!(header.tensors["a"].range.end, bytes.len());
    safetensors::SafeTensors::deserialize(&bytes).expect("the format's own reader agrees");
}

#[test]
fn hostile_headers_are_refused_by_name() {
    let huge = usize::MAX / 32;
    let overflowing =
        format!(r#"{{"t":{{"dtype":"F32","shape":[{huge},{huge}],"data_offsets":[0,4]}}}}"#);
    let cases: &[(&str, &str, usize, &str)] = &[
        (
            "overlap",
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
            12,
            r#"tensor "t" has the byte range 4..12, expected one that starts at 8"#,
        ),
        (
            "gap",
            r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8,
            r#"tensor "t" has the byte range 4..8, expected one that starts at 0"#,
        ),
        (
            "backward",
            r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,-4]}}"#,
            4,
            r#"tensor "t""#,
        ),
        (
            "descending",
            r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
            4,
            r#"tensor "t" has the byte range 4..0"#,
        ),
        (
            "out of the file",
            r#"{"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#,
            12,
            r#"truncated: tensor "t" ends at data byte 16, but the file has 12"#,
        ),
        (
            "far out of the file",
            r#"{"t":{"dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615]}}"#,
            12,
            "truncated",
        ),
        (
            "wrong size",
            r#"{"t":{"dtype":"F16","shape":[2,3],"data_offsets":[0,4]}}"#,
            4,
            r#"tensor "t" is F16 [2, 3], which takes 12 bytes, but its range has 4 bytes"#,
        ),
        ("overflowing shape", &overflowing, 4, "takes more bytes than any file has"),
        (
            "part of a byte",
            r#"{"t":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}"#,
            1,
            r#"tensor "t" is F4 [1]"#,
        ),
        (
            "trailing bytes",
            r#"{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            9,
            "5 bytes follow",
        ),
        (
            "duplicate",
            r#"{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#,
            0,
            r#"the name "t" occurs twice"#,
        ),
        (
            "unknown dtype",
            r#"{"t":{"dtype":"F12","shape":[1],"data_offsets":[0,4]}}"#,
            4,
            r#"tensor "t": unknown variant `F12`"#,
        ),
        ("no JSON", "{", 0, "malformed"),
        ("an array", "[]", 0, "malformed"),
        ("deep nesting", &"[".repeat(100_000), 0, "malformed"),
    ];
    for (what, json, data, message) in cases {
        let error = Header::parse(&file(json, *data)).expect_err(what).to_string();
        assert!(error.contains(message), "{what}: {error}");
    }
}

#[test]
fn a_length_beyond_the_file_is_refused_before_anything_is_allocated() {
    for claimed in [1, MAX_HEADER, u64::MAX, 1 << 63] {
        let bytes = claimed.to_le_bytes();
        assert!(matches!(Header::parse(&bytes), Err(HeaderError::Length { .. })), "{claimed}");
    }
    for length in 0..LENGTH_BYTES {
        assert!(matches!(Header::parse(&vec![0; length]), Err(HeaderError::TooShort { .. })));
    }
}

#[test]
fn sums_of_ranges_cannot_overflow() {
    let step = usize::MAX / 8;
    let entries: Vec<String> = (0..9)
        .map(|i: usize| {
            let (from, to) = (i.saturating_mul(step), (i + 1).saturating_mul(step));
            format!(r#""t{i}":{{"dtype":"U8","shape":[{step}],"data_offsets":[{from},{to}]}}"#)
        })
        .collect();
    let json = format!("{{{}}}", entries.join(","));
    assert!(matches!(Header::parse(&file(&json, 0)), Err(HeaderError::Truncated { .. })));
}

/// A small file, and where its data begin.
fn small() -> (Vec<u8>, usize) {
    let metadata = BTreeMap::from([("key".to_owned(), "text".to_owned())]);
    let tensors = [("a", Dtype::F32, &[2, 2][..], 16), ("b", Dtype::BF16, &[4][..], 8)];
    let header = Header::write(&metadata, tensors);
    let start = header.len();
    ([header, vec![0; 24]].concat(), start)
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (bytes, _) = small();
    assert!(Header::parse(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(Header::parse(&bytes[..length]).is_err(), "cut to {length} of {}", bytes.len());
    }
}

#[test]
fn whatever_a_single_byte_becomes_the_ranges_stay_inside_the_file() {
    let (bytes, start) = small();
    let mut accepted = 0;
    for at in 0..start {
        for byte in 0..=u8::MAX {
            let mut changed = bytes.clone();
            changed[at] = byte;
            let Ok(header) = Header::parse(&changed) else { continue };
            accepted += 1;
            let mut ends: Vec<_> = header.tensors.values().map(|it| it.range.clone()).collect();
            ends.sort_by_key(|range| range.start);
            for (range, next) in ends.iter().zip(ends.iter().skip(1)) {
                assert_eq!(range.end, next.start, "byte {at} as {byte}");
            }
            assert_eq!(ends.last().map(|range| range.end), Some(changed.len()));
            for entry in header.tensors.values() {
                let bits = entry.shape.iter().product::<usize>() * entry.dtype.bitsize();
                assert_eq!(bits, 8 * entry.range.len(), "byte {at} as {byte}");
            }
        }
    }
    // Other letters in a name or a text do no harm, and no change is no change.
    assert!(accepted > start, "{accepted} of {} changes were accepted", 256 * start);
}
