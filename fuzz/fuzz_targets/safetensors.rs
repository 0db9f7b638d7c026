//! Any bytes in place of the header of a safetensors file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::safetensors(bytes);
});
