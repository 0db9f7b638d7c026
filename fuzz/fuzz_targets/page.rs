//! Any bytes in place of the contents of a page that `--report` wrote.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::page(bytes);
});
