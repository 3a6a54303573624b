#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod cpu;
mod draw;
mod dropout;
mod element;
mod error;
mod float_environment;
mod fused;
#[cfg(feature = "gpu")]
pub mod gpu;
mod index_map;
mod philox;
mod probability;
pub mod reference;
mod state;

pub use draw::Draw;
pub use dropout::{Dropout, FreshSeedError, OffsetOverflow};
pub use element::{DType, Element, MaskFormat, bit_mask_words};
pub use error::SliceError;
pub use fused::Neighbours;
pub use index_map::{Dimension, IndexMap, IndexMapError};
pub use philox::{Philox4x32, philox4x32_10};
pub use probability::{Probability, ProbabilityError, RandomBits, ScaleMode};
pub use state::{Blocks, DropoutState, SubsequencesExhausted};

pub use half;
pub use rand_core;
#[cfg(feature = "gpu")]
pub use wgpu;

/// The code of the guide, as doc tests.
#[cfg(all(doctest, feature = "gpu"))]
mod guide {
    #[doc = include_str!("../docs/why.md")]
    mod why {}
    #[doc = include_str!("../docs/forms.md")]
    mod forms {}
    #[doc = include_str!("../docs/integrate.md")]
    mod integrate {}
    #[doc = include_str!("../docs/elsewhere.md")]
    mod elsewhere {}
    #[doc = include_str!("../docs/new-gpu.md")]
    mod new_gpu {}
}
