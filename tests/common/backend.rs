//! The three paths behind one trait, so that one table of checks runs over each.

use std::error::Error;

#[cfg(feature = "gpu")]
use wgpu_dropout::gpu::blocking::Context;
use wgpu_dropout::{Dropout, Element, cpu, reference};

type Outcome = Result<(), Box<dyn Error>>;

macro_rules! backends {
    ($($name:ident$(<$element:ident>)?($($argument:ident: $type:ty),*);)*) => {
        /// The operations, under the names that they have in each path.
        pub trait Backend {
            fn name(&self) -> String;
            $(fn $name$(<$element: Element>)?(&self, dropout: &Dropout, $($argument: $type),*) -> Outcome;)*
        }

        pub struct Reference;

        impl Backend for Reference {
            fn name(&self) -> String {
                "reference".to_owned()
            }

            $(fn $name$(<$element: Element>)?(&self, dropout: &Dropout, $($argument: $type),*) -> Outcome {
                Ok(reference::$name(dropout, $($argument),*)?)
            })*
        }

        /// The CPU path in a pool of that many threads.
        pub struct Cpu(rayon::ThreadPool);

        impl Cpu {
            pub fn with_threads(threads: usize) -> Self {
                Self(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
            }
        }

        impl Backend for Cpu {
            fn name(&self) -> String {
                format!("cpu, {} threads", self.0.current_num_threads())
            }

            $(fn $name$(<$element: Element>)?(&self, dropout: &Dropout, $($argument: $type),*) -> Outcome {
                Ok(self.0.install(|| cpu::$name(dropout, $($argument),*))?)
            })*
        }

        #[cfg(feature = "gpu")]
        impl Backend for Context {
            fn name(&self) -> String {
                format!("{} ({})", self.adapter().name, self.adapter().backend)
            }

            $(fn $name$(<$element: Element>)?(&self, dropout: &Dropout, $($argument: $type),*) -> Outcome {
                Ok(Context::$name(self, dropout, $($argument),*)?)
            })*
        }
    };
}

backends! {
    forward<T>(x: &[T], y: &mut [T]);
    forward_in_place<T>(x: &mut [T]);
    forward_with_bit_mask<T>(x: &[T], y: &mut [T], mask: &mut [u32]);
    forward_with_byte_mask<T>(x: &[T], y: &mut [T], mask: &mut [u8]);
    backward<T>(dy: &[T], dx: &mut [T]);
    backward_in_place<T>(dy: &mut [T]);
    backward_from_bit_mask<T>(dy: &[T], mask: &[u32], dx: &mut [T]);
    backward_from_bit_mask_in_place<T>(dy: &mut [T], mask: &[u32]);
    backward_from_byte_mask<T>(dy: &[T], mask: &[u8], dx: &mut [T]);
    backward_from_byte_mask_in_place<T>(dy: &mut [T], mask: &[u8]);
    bit_mask(len: usize, mask: &mut [u32]);
    byte_mask(mask: &mut [u8]);
    inference<T>(x: &[T], y: &mut [T]);
    inference_in_place<T>(x: &mut [T]);
}
