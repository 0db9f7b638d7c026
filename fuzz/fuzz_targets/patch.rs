//! Any bytes in place of a patch, single or composed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::patch(bytes);
});
