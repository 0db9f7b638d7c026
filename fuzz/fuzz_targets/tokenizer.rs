//! Any bytes in place of a `tokenizer.json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::tokenizer(bytes);
});
