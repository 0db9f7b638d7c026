//! Any bytes in place of a prompt file.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::prompts(bytes);
});
