//! Any bytes in place of passages in any of their forms.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::passages(bytes);
});
