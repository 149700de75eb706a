//! A whole checkpoint, its tensors' shapes, types and values made up: metrics are finite, or an error
//! says what is not.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use training_maps_fuzz::{all_as_rows, check_finite, described, measured, source};
use training_maps_metrics::{Error, Selection};

/// A tensor as a header lists it; `rows` and `cols` are small.
#[derive(Arbitrary, Debug)]
struct Made {
    name: u8,
    dtype: u8,
    rows: u8,
    cols: u8,
    shift: Option<i8>,
}

#[derive(Arbitrary, Debug)]
struct Input {
    tensors: Vec<Made>,
    data: Vec<u8>,
}

const TYPES: [(&str, usize); 6] =
    [("F32", 4), ("F64", 8), ("F16", 2), ("BF16", 2), ("I64", 8), ("BOOL", 1)];

fn file(input: &Input) -> Vec<u8> {
    let (mut entries, mut place) = (Vec::new(), 0);
    for made in input.tensors.iter().take(6) {
        let (dtype, size) = TYPES[made.dtype as usize % TYPES.len()];
        let (rows, cols) = (made.rows % 9, made.cols % 9);
        let end = place + rows as usize * cols as usize * size;
        let begin = place as i64 + i64::from(made.shift.unwrap_or(0));
        let name = made.name % 8;
        entries.push(format!(
            r#""t{name}":{{"dtype":"{dtype}","shape":[{rows},{cols}],"data_offsets":[{begin},{end}]}}"#
        ));
        place = end;
    }
    let header = format!("{{{}}}", entries.join(","));
    let values = input.data.iter().copied().cycle().chain(std::iter::repeat(0)).take(place);
    let mut content = (header.len() as u64).to_le_bytes().to_vec();
    content.extend(header.bytes());
    content.extend(values);
    content
}

fuzz_target!(|input: Input| {
    let content = file(&input);
    let Some(tensors) = described(&content, &source(&content)) else { return };
    let matrices = all_as_rows(tensors);
    if matrices.is_empty() {
        return;
    }
    let selection = Selection { matrices, biases: Vec::new() };
    match measured(source(&content), &selection).unwrap() {
        Ok(metrics) => check_finite(&metrics),
        Err(error) => {
            assert!(matches!(error, Error::NonFinite { .. } | Error::Overflow { .. }), "{error:?}")
        }
    }
});
