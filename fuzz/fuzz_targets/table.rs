//! Any bytes in place of a table of facts.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::table(bytes);
});
