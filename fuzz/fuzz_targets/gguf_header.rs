//! Any bytes in place of everything before the tensors of a GGUF file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::gguf_header(bytes);
});
