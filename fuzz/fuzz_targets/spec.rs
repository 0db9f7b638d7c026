//! Any bytes in place of a spec.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::spec(bytes);
});
