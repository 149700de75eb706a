//! What the header of a safetensors file may say, checked entry by entry.
//!
//! The safetensors crate checks that the tensors cover the file's data without holes and overlaps,
//! yet it names no tensor whose size is wrong, and of an entry that is there twice it takes the
//! last one in silence.

use std::collections::HashSet;
use std::fmt;

use safetensors::tensor::TensorInfo;
use serde::Deserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};

/// Bytes of the number that a file begins with: the header's length.
const LENGTH: usize = 8;
/// Longest header that is read, as in the safetensors crate.
const LONGEST: usize = 100_000_000;

/// Check the entries of `file`'s header.
///
/// # Errors
/// What is wrong, in words that follow a file's name: the file is too short for its header, the
/// header is too long or no JSON object, an entry is there twice, or a tensor's offsets do not fit
/// its type, its shape and the file.
pub(crate) fn check(file: &[u8]) -> Result<(), String> {
    let Some((length, rest)) = file.split_first_chunk::<LENGTH>() else {
        return Err(format!("it has {} bytes, fewer than its header's length takes", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST as u64 {
        return Err(format!("its header claims {length} bytes, more than {LONGEST}"));
    }
    let Some((header, data)) = rest.split_at_checked(length as usize) else {
        return Err(format!("its header claims {length} bytes, and {} follow", rest.len()));
    };
    let text = std::str::from_utf8(header).map_err(|error| format!("header: {error}"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Entries { data: data.len() })
        .and_then(|()| json.end())
        .map_err(|error| format!("header: {error}"))
}

/// Visits the entries of a header over so many bytes of `data`.
struct Entries {
    data: usize,
}

impl<'de> Visitor<'de> for Entries {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with an entry a tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            if name == "__metadata__" {
                entries.next_value::<IgnoredAny>()?;
            } else {
                let info = entries
                    .next_value::<TensorInfo>()
                    .map_err(|error| A::Error::custom(format!("tensor '{name}': {error}")))?;
                self.check(&name, &info).map_err(A::Error::custom)?;
            }
            if seen.contains(&name) {
                return Err(A::Error::custom(format!("'{name}' is there twice")));
            }
            seen.insert(name);
        }
        Ok(())
    }
}

impl Entries {
    fn check(&self, name: &str, info: &TensorInfo) -> Result<(), String> {
        let (begin, end) = info.data_offsets;
        if begin > end || end > self.data {
            return Err(format!(
                "tensor '{name}' lies at bytes {begin} to {end} of {} bytes of data",
                self.data
            ));
        }
        let values =
            info.shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
        let bits = values.and_then(|values| values.checked_mul(info.dtype.bitsize()));
        if bits != (end - begin).checked_mul(8) {
            return Err(format!(
                "tensor '{name}' has {} bytes, which are not {:?} values of {}",
                end - begin,
                info.shape,
                info.dtype
            ));
        }
        Ok(())
    }
}
