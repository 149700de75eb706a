//! A tensor's values where they lie: bytes of a mapped file or of an array, at any alignment.

use half::{bf16, f16};

/// Floating-point types that are read; every value of each is exact as `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    BF16,
}

impl DType {
    /// Bytes a value.
    pub fn size(self) -> usize {
        match self {
            DType::F64 => 8,
            DType::F32 => 4,
            DType::F16 | DType::BF16 => 2,
        }
    }
}

/// Little-endian values of one floating-point type, borrowed; they need not be aligned.
#[derive(Debug, Clone, Copy)]
pub struct TensorData<'a> {
    dtype: DType,
    bytes: &'a [u8],
}

impl<'a> TensorData<'a> {
    /// Borrow `bytes` as values of `dtype`.
    ///
    /// # Panics
    /// If the length of `bytes` is no multiple of the type's size.
    pub fn new(dtype: DType, bytes: &'a [u8]) -> Self {
        assert_eq!(bytes.len() % dtype.size(), 0, "length of {dtype:?} data in bytes");
        TensorData { dtype, bytes }
    }

    /// Borrow a slice of `f32`.
    pub fn from_f32(values: &'a [f32]) -> Self {
        // SAFETY: floats have no padding, any byte is a valid u8, and the length is in bytes.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
        };
        TensorData::new(DType::F32, bytes)
    }

    /// Borrow a slice of `f64`.
    pub fn from_f64(values: &'a [f64]) -> Self {
        // SAFETY: floats have no padding, any byte is a valid u8, and the length is in bytes.
        let bytes = unsafe {
            std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values))
        };
        TensorData::new(DType::F64, bytes)
    }

    /// Borrow half-precision values, given as their bits.
    ///
    /// # Panics
    /// If `dtype` has not 16 bits.
    pub fn from_bits(dtype: DType, bits: &'a [u16]) -> Self {
        assert_eq!(dtype.size(), 2, "size of {dtype:?} in bytes");
        // SAFETY: integers have no padding, any byte is a valid u8, and the length is in bytes.
        let bytes =
            unsafe { std::slice::from_raw_parts(bits.as_ptr().cast::<u8>(), size_of_val(bits)) };
        TensorData::new(dtype, bytes)
    }

    /// Type of the values.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The `len` values from position `start` on.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn slice(&self, start: usize, len: usize) -> TensorData<'a> {
        let size = self.dtype.size();
        TensorData { dtype: self.dtype, bytes: &self.bytes[start * size..(start + len) * size] }
    }

    /// Write all values, as `f64`, over `out`, which has the same length.
    pub fn read_into(&self, out: &mut [f64]) {
        assert_eq!(out.len(), self.len(), "length of the buffer read into");
        match self.dtype {
            DType::F64 => convert(self.bytes, out, f64::from_le_bytes),
            DType::F32 => convert(self.bytes, out, |bytes| f64::from(f32::from_le_bytes(bytes))),
            DType::F16 => convert(self.bytes, out, |bytes| f16::from_le_bytes(bytes).to_f64()),
            DType::BF16 => convert(self.bytes, out, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        }
    }

    /// Call `visit` with an integer for each value, ordered as the values are.
    ///
    /// The integers have as many bits as the type ([`from_key`] is the way back); `wide` makes
    /// them keys of the value as `f64`, so that tensors of different types can be compared.
    pub(crate) fn for_each_key(&self, wide: bool, mut visit: impl FnMut(u64)) {
        match (self.dtype, wide) {
            (DType::F64, _) => each(self.bytes, |bytes| visit(key_f64(f64::from_le_bytes(bytes)))),
            (DType::F32, false) => {
                each(self.bytes, |bytes| visit(order(u32::from_le_bytes(bytes).into(), 32)));
            }
            (DType::F16 | DType::BF16, false) => {
                each(self.bytes, |bytes| visit(order(u16::from_le_bytes(bytes).into(), 16)));
            }
            (DType::F32, true) => {
                each(self.bytes, |bytes| visit(key_f64(f32::from_le_bytes(bytes).into())));
            }
            (DType::F16, true) => {
                each(self.bytes, |bytes| visit(key_f64(f16::from_le_bytes(bytes).into())));
            }
            (DType::BF16, true) => {
                each(self.bytes, |bytes| visit(key_f64(bf16::from_le_bytes(bytes).into())));
            }
        }
    }
}

/// The value whose key (see `TensorData::for_each_key`) is `key`.
pub(crate) fn from_key(key: u64, dtype: DType) -> f64 {
    let bits = 8 * dtype.size() as u32;
    let sign = 1_u64 << (bits - 1);
    let mask = u64::MAX >> (64 - bits);
    let pattern = if key & sign != 0 { key ^ sign } else { !key & mask };
    match dtype {
        DType::F64 => f64::from_bits(pattern),
        DType::F32 => f32::from_bits(pattern as u32).into(),
        DType::F16 => f16::from_bits(pattern as u16).into(),
        DType::BF16 => bf16::from_bits(pattern as u16).into(),
    }
}

fn key_f64(value: f64) -> u64 {
    order(value.to_bits(), 64)
}

/// Map a float's bit pattern to an integer of the same order: flip the sign bit of positive
/// numbers, all bits of negative ones.
#[inline(always)]
fn order(pattern: u64, bits: u32) -> u64 {
    let sign = 1_u64 << (bits - 1);
    let mask = u64::MAX >> (64 - bits);
    if pattern & sign != 0 { !pattern & mask } else { pattern | sign }
}

#[inline(always)]
fn each<const SIZE: usize>(bytes: &[u8], mut visit: impl FnMut([u8; SIZE])) {
    for value in bytes.as_chunks::<SIZE>().0 {
        visit(*value);
    }
}

#[inline(always)]
fn convert<const SIZE: usize>(bytes: &[u8], out: &mut [f64], read: impl Fn([u8; SIZE]) -> f64) {
    for (value, target) in bytes.as_chunks::<SIZE>().0.iter().zip(out) {
        *target = read(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(data: TensorData<'_>, wide: bool) -> Vec<u64> {
        let mut keys = Vec::new();
        data.for_each_key(wide, |key| keys.push(key));
        keys
    }

    #[test]
    fn every_half_precision_value_has_its_key_and_comes_back() {
        for dtype in [DType::F16, DType::BF16] {
            for pattern in 0..=u16::MAX {
                let bytes = pattern.to_le_bytes();
                let data = TensorData::new(dtype, &bytes);
                let mut value = [0.0];
                data.read_into(&mut value);
                if value[0].is_nan() {
                    continue;
                }
                assert_eq!(from_key(keys(data, false)[0], dtype).to_bits(), value[0].to_bits());
                assert_eq!(from_key(keys(data, true)[0], DType::F64).to_bits(), value[0].to_bits());
            }
        }
    }

    #[test]
    fn values_are_read_at_odd_addresses() {
        let values = [1.5_f32, -2.25, 3e-40];
        let mut bytes = vec![0_u8];
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        let mut read = [0.0; 3];
        TensorData::new(DType::F32, &bytes[1..]).read_into(&mut read);
        assert_eq!(read, values.map(f64::from));
    }

    proptest! {
        #[test]
        fn keys_are_ordered_as_values(a in any::<f32>(), b in any::<f32>()) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            let pair = [a, b];
            for wide in [false, true] {
                let keys = keys(TensorData::from_f32(&pair), wide);
                prop_assert_eq!(keys[0].cmp(&keys[1]), a.total_cmp(&b));
            }
        }
    }
}
