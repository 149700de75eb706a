//! Files that are truncated, corrupt or made to mislead: an error that names the file, or exactly
//! the tensors that the file has; never a crash.
//!
//! PROPTEST_CASES sets the number of cases of each test: with 1000000, `cargo test --release --test
//! hostile_files` tries a million of each kind.

use std::path::PathBuf;
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::Index;
use safetensors::SafeTensors;
use tempfile::TempDir;
use training_maps_metrics::{
    Cancel, Content, Error, MatrixSpec, Selection, Source, TensorInfo, Threads, run_metrics,
};

/// Numbers at which arithmetic goes wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    7,
    8,
    100_000_000,
    100_000_001,
    (1 << 31) - 1,
    1 << 32,
    1 << 53,
    1 << 61,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

fn folder() -> &'static TempDir {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap())
}

fn with_header(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// Two matrices, a bias and an integer tensor.
fn whole() -> Vec<u8> {
    let header = br#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "b":{"dtype":"F64","shape":[1,2],"data_offsets":[24,40]},"__metadata__":{"k":"v"},
        "n":{"dtype":"I64","shape":[1],"data_offsets":[40,48]},
        "b.bias":{"dtype":"BF16","shape":[4],"data_offsets":[48,56]}}"#;
    with_header(header, &[0x3C; 56])
}

/// Read a file as a run's would be, with all tensors of floats selected, as vectors.
fn read(name: &str, content: &[u8]) -> Result<(), TestCaseError> {
    let path: PathBuf = folder().path().join(name);
    std::fs::write(&path, content).unwrap();
    let label = path.display().to_string();
    let source = Source { path: Some(label.clone()), content: Content::Files(vec![path]) };
    let described = match describe(&source) {
        Ok(tensors) => tensors,
        Err(error) => {
            prop_assert!(matches!(error, Error::Format { .. }), "{:?}", error);
            prop_assert!(error.to_string().starts_with(&label), "{}", error);
            return Ok(());
        }
    };
    let header = 8 + u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
    let sizes = SafeTensors::deserialize(content).unwrap();
    let total: usize = sizes.iter().map(|(_, view)| view.data().len()).sum();
    prop_assert_eq!(header + total, content.len());
    prop_assert_eq!(described.len(), sizes.len());
    let matrices: Vec<MatrixSpec> = described
        .into_iter()
        .filter(|tensor| ["F64", "F32", "F16", "BF16"].contains(&tensor.dtype.as_str()))
        .map(|tensor| (tensor.name, tensor.shape.iter().product()))
        .filter(|&(_, cols)| cols > 0)
        .map(|(tensor, cols)| MatrixSpec { tensor, n_blocks: 1, rows: 1, cols })
        .collect();
    if !matrices.is_empty() {
        let selection = Selection { matrices, biases: Vec::new() };
        let result =
            run_metrics(&[source], &selection, true, &Threads::new(1).unwrap(), &Cancel::default())
                .unwrap();
        if let Err(error) = &result[0] {
            let expected = matches!(error, Error::NonFinite { .. } | Error::Overflow { .. });
            prop_assert!(expected, "{:?}", error);
        }
    }
    Ok(())
}

fn describe(source: &Source<'_>) -> Result<Vec<TensorInfo>, Error> {
    Ok(source.open()?.tensors()?.describe())
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..64, prop::sample::select(EDGES.to_vec())]
}

/// An entry of a header, right or wrong in any of its parts.
fn entry() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        prop::sample::select(vec!["a", "b", "a.bias", "__metadata__", ""]).prop_map(str::to_owned),
        "\\PC{0,4}".prop_map(|text| text.replace(['"', '\\'], "_")),
    ];
    let dtype = prop::sample::select(vec![
        "F32", "F64", "F16", "BF16", "I64", "BOOL", "F4", "F8_E8M0", "C64", "f32", "F128", "",
    ]);
    let shape = prop::collection::vec(number(), 0..4);
    (name, dtype, shape, number(), number(), 0..12_u8).prop_map(
        |(name, dtype, shape, begin, end, twist)| {
            let shape = format!("{shape:?}");
            match twist {
                0 => format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape}}}"#),
                1 => format!(r#""{name}":{}"#, "[".repeat(300)),
                2 => format!(r#""{name}":{{"dtype":"{dtype}","dtype":"F32","shape":{shape}}}"#),
                3 => format!(
                    r#""{name}":{{"dtype":"F32","shape":[-1],"data_offsets":[{begin},{end}]}}"#
                ),
                4 => format!(
                    r#""{name}":{{"dtype":"F32","shape":[1e3],"data_offsets":[{begin}.5,{end}]}}"#
                ),
                5 => format!(r#""{name}":"{dtype}""#),
                _ => format!(
                    r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#
                ),
            }
        },
    )
}

/// A tensor whose shape, size and place agree, so that many files are nearly right.
fn likely_entries() -> impl Strategy<Value = (Vec<String>, usize)> {
    let one =
        (prop::sample::select(vec![("F32", 4), ("F64", 8), ("F16", 2), ("U8", 1)]), 0..5_usize);
    prop::collection::vec((one, 0..5_usize, -1..2_i64, 0..12_u8), 0..5).prop_map(|tensors| {
        let (mut entries, mut place) = (Vec::new(), 0);
        for (i, (((dtype, size), rows), cols, shift, twist)) in tensors.into_iter().enumerate() {
            let end = place + rows * cols * size;
            let moved = if twist == 0 { place as i64 + shift } else { place as i64 };
            let name = if twist == 1 { "t0".to_owned() } else { format!("t{i}") };
            entries.push(format!(
                r#""{name}":{{"dtype":"{dtype}","shape":[{rows},{cols}],"data_offsets":[{moved},{end}]}}"#
            ));
            place = end;
        }
        (entries, place)
    })
}

proptest! {
    #[test]
    fn changed_bytes(
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        keep in any::<Index>(),
        truncate in any::<bool>(),
        longer in 0..3_usize,
    ) {
        let mut content = whole();
        for (place, byte) in changes {
            let place = place.index(content.len());
            content[place] = byte;
        }
        if truncate {
            content.truncate(keep.index(content.len()));
        }
        content.extend(std::iter::repeat_n(0, longer));
        read("changed", &content)?;
    }

    #[test]
    fn headers_that_lie(
        entries in prop::collection::vec(entry(), 0..4),
        data in prop::collection::vec(any::<u8>(), 0..64),
        length in prop::option::of(number()),
    ) {
        let mut content = with_header(format!("{{{}}}", entries.join(",")).as_bytes(), &data);
        if let Some(length) = length {
            content[..8].copy_from_slice(&length.to_le_bytes());
        }
        read("lie", &content)?;
    }

    #[test]
    fn headers_that_nearly_fit(
        (entries, place) in likely_entries(),
        more in -1..2_i64,
        byte in any::<u8>(),
    ) {
        let data = vec![byte; (place as i64 + more).max(0) as usize];
        read("nearly", &with_header(format!("{{{}}}", entries.join(",")).as_bytes(), &data))?;
    }

    #[test]
    fn any_bytes(
        header in prop::collection::vec(any::<u8>(), 0..80),
        data in prop::collection::vec(any::<u8>(), 0..40),
        as_header in any::<bool>(),
    ) {
        let content = if as_header { with_header(&header, &data) } else { [header, data].concat() };
        read("bytes", &content)?;
    }
}

/// Each call has a file of its own: the tests of this file run side by side.
fn reason(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fixed");
    std::fs::write(&path, content).unwrap();
    let source = Source { path: None, content: Content::Files(vec![path]) };
    describe(&source).unwrap_err().to_string()
}

#[test]
fn errors_name_the_tensor() {
    let of = |entries: &str| reason(&with_header(format!("{{{entries}}}").as_bytes(), &[0; 16]));
    let entry = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let good = entry("a", "F32", "[4]", "[0,16]");
    for (entries, expected) in [
        (format!("{good},{good}"), "'a' is there twice"),
        (format!("{good},{}", entry("b", "F32", "[2]", "[8,16]")), "tensor `b`"),
        (
            format!("{},{}", entry("a", "F32", "[2]", "[0,8]"), entry("b", "U8", "[4]", "[12,16]")),
            "tensor `b`",
        ),
        (
            entry("a", "F32", "[5]", "[0,16]"),
            "tensor 'a' has 16 bytes, which are not [5] values of F32",
        ),
        (entry("a", "F32", "[4]", "[16,0]"), "tensor 'a' lies at bytes 16 to 0 of 16"),
        (entry("a", "F32", "[9]", "[0,36]"), "tensor 'a' lies at bytes 0 to 36 of 16"),
        (entry("a", "F32", "[4294967296,4294967297]", "[0,16]"), "tensor 'a' has 16 bytes"),
        (entry("a", "F4", "[3]", "[0,16]"), "tensor 'a' has 16 bytes"),
        (entry("a", "F33", "[4]", "[0,16]"), "tensor 'a': unknown variant `F33`"),
        (entry("a", "F32", "[-4]", "[0,16]"), "tensor 'a': invalid value"),
    ] {
        let found = of(&entries);
        assert!(found.contains(expected), "{entries}: {found}");
    }
    let deep = format!(r#""a":{}"#, "[".repeat(1_000_000));
    assert!(of(&deep).contains("tensor 'a': "), "{}", of(&deep));
    let metadata = format!(r#""__metadata__":{{"x":{}"#, "[".repeat(1_000_000));
    assert!(of(&metadata).contains("is not a whole safetensors file"));
}

#[test]
fn errors_about_the_header() {
    for (content, expected) in [
        (vec![], "it has 0 bytes"),
        (vec![1; 7], "it has 7 bytes"),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "its header claims 18446744073709551615"),
        ([&(1_u64 << 30).to_le_bytes()[..], b"{}"].concat(), "more than 100000000"),
        ([&50_u64.to_le_bytes()[..], b"{}"].concat(), "claims 50 bytes, and 2 follow"),
        (with_header(b"\xff\xff", b""), "invalid utf-8"),
        (with_header(b"[1]", b""), "expected an object with an entry a tensor"),
        (with_header(b"{} x", b""), "trailing characters"),
        (with_header(b"{}", b"x"), "is not a whole safetensors file"),
    ] {
        let found = reason(&content);
        assert!(found.contains(expected), "{found}");
    }
}
