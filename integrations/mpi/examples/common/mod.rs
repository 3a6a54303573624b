//! What the examples and the tests have in common.

use sha2::{Digest as _, Sha256};
use wgpu_dropout_mpi::wgpu_dropout::Element;
use wgpu_dropout_mpi::wgpu_dropout::half::f16;

/// An element type with a value for each index of a tensor, so that every rank can make its own shard.
pub trait Value: Element {
    fn of(index: u64, salt: u64) -> Self;

    /// Its bits, the same on machines of either byte order.
    fn le_bytes(self) -> impl AsRef<[u8]>;
}

impl Value for f32 {
    fn of(index: u64, salt: u64) -> Self {
        // SplitMix64's finaliser. One bit pattern in 61 is any there is, NaNs and subnormals among them.
        let mut z = (index ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = (z ^ (z >> 31)) as u32;
        if index % 61 == 7 {
            Self::from_bits(bits)
        } else {
            (bits >> 8) as f32 / (1 << 22) as f32 - 2.0
        }
    }

    fn le_bytes(self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

impl Value for f16 {
    fn of(index: u64, salt: u64) -> Self {
        Self::from_f32(f32::of(index, salt))
    }

    fn le_bytes(self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }
}

/// SHA-256 of a tensor's elements, little-endian, in hexadecimal.
pub fn digest<T: Value>(tensor: &[T]) -> String {
    let mut sha256 = Sha256::new();
    for &element in tensor {
        sha256.update(element.le_bytes());
    }
    format!("{:x}", sha256.finalize())
}
