//! Any bytes in place of the record of an exported folder.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::record(bytes);
});
