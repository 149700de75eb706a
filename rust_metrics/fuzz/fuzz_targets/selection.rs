//! Any selection of a whole checkpoint's tensors: metrics, or an error that names the tensor.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use training_maps_fuzz::{check_finite, measured, source};
use training_maps_metrics::{MatrixSpec, Selection};

#[derive(Arbitrary, Debug)]
struct Spec {
    name: u8,
    n_blocks: Size,
    rows: Size,
    cols: Size,
}

/// A size that may fit, or one at which arithmetic goes wrong.
#[derive(Arbitrary, Debug)]
enum Size {
    Small(u8),
    Any(usize),
    Edge(u8),
}

impl Size {
    fn value(&self) -> usize {
        match *self {
            Size::Small(value) => value as usize % 13,
            Size::Any(value) => value,
            Size::Edge(bits) => 1_usize.wrapping_shl(u32::from(bits)),
        }
    }
}

const NAMES: [&str; 6] = ["a", "b", "n", "b.bias", "missing", ""];

fn whole() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "b":{"dtype":"F64","shape":[3,2,2],"data_offsets":[24,120]},
        "n":{"dtype":"I64","shape":[1],"data_offsets":[120,128]},
        "b.bias":{"dtype":"BF16","shape":[4],"data_offsets":[128,136]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[0x3C; 136]].concat()
}

fuzz_target!(|input: (Vec<Spec>, Vec<u8>)| {
    let (specs, biases) = input;
    let name = |number: u8| NAMES[number as usize % NAMES.len()].to_owned();
    let selection = Selection {
        matrices: specs
            .iter()
            .map(|spec| MatrixSpec {
                tensor: name(spec.name),
                n_blocks: spec.n_blocks.value(),
                rows: spec.rows.value(),
                cols: spec.cols.value(),
            })
            .collect(),
        biases: biases.into_iter().take(6).map(name).collect(),
    };
    match measured(source(&whole()), &selection) {
        Ok(Ok(metrics)) => check_finite(&metrics),
        Ok(Err(error)) | Err(error) => {
            assert!(!error.to_string().is_empty());
        }
    }
});
