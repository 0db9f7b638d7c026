//! Any bytes in place of records of a collection.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::records(bytes);
});
