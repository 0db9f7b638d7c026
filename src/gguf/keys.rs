//! Keys of a GGUF file in the making -> bytes.

use super::metadata::{ARRAY, STRING, Scalar};

/// Keys with their values, in the order in which they were put.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: Vec<u8>,
    count: u64,
}

impl Keys {
    /// The keys as the file holds them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.begin(key, STRING);
        put_text(&mut self.bytes, value);
    }

    pub(super) fn unsigned(&mut self, key: &str, value: u32) {
        self.begin(key, Scalar::U32.number());
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn real(&mut self, key: &str, value: f32) {
        self.begin(key, Scalar::F32.number());
        self.bytes.extend(value.to_le_bytes());
    }

    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.begin(key, Scalar::Bool.number());
        self.bytes.push(value.into());
    }

    pub(super) fn texts<'t>(&mut self, key: &str, values: impl ExactSizeIterator<Item = &'t str>) {
        self.begin_list(key, STRING, values.len());
        values.for_each(|value| put_text(&mut self.bytes, value));
    }

    pub(super) fn integers(&mut self, key: &str, values: &[i32]) {
        self.begin_list(key, Scalar::I32.number(), values.len());
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    pub(super) fn reals(&mut self, key: &str, values: &[f32]) {
        self.begin_list(key, Scalar::F32.number(), values.len());
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn begin(&mut self, key: &str, kind: u32) {
        self.count += 1;
        put_text(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn begin_list(&mut self, key: &str, kind: u32, length: usize) {
        self.begin(key, ARRAY);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((length as u64).to_le_bytes());
    }
}

/// A text after its length in bytes.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
