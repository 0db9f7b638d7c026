//! Any bytes in place of the `adapter_config.json` of an adapter.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    rescribe::untrusted::adapter(bytes);
});
