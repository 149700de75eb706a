//! Any bytes as a safetensors file: what its header says is what the safetensors crate says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use training_maps_fuzz::{described, source};

fuzz_target!(|content: &[u8]| {
    described(content, &source(content));
});
