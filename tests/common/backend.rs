//! The three paths behind one trait, so that one table of checks runs over each.

use std::error::Error;

#[cfg(feature = "gpu")]
use wgpu_dropout::gpu::blocking::Context;
use wgpu_dropout::{Draw, Dropout, Element, IndexMap, Neighbours, cpu, reference};

type Outcome = Result<(), Box<dyn Error>>;

fn draw<'a>(dropout: &'a Dropout, map: Option<&'a IndexMap>) -> Draw<'a> {
    match map {
        Some(map) => dropout.over(map),
        None => dropout.into(),
    }
}

macro_rules! backends {
    ($($name:ident$(<$element:ident>)?($($argument:ident: $type:ty),*);)*) => {
        /// The operations, under the names that they have in each path.
        pub trait Backend {
            fn name(&self) -> String;
            $(fn $name$(<$element: Element>)?(&self, dropout: &Dropout, $($argument: $type),*) -> Outcome;)*
        }

        #[derive(Default)]
        pub struct Reference {
            map: Option<IndexMap>,
        }

        impl Reference {
            pub fn over(map: IndexMap) -> Self {
                Self { map: Some(map) }
            }
        }

        impl Backend for Reference {
            fn name(&self) -> String {
                "reference".to_owned()
            }

            $(fn $name$(<$element: Element>)?(&self, dropout: &Dropout, $($argument: $type),*) -> Outcome {
                Ok(reference::$name(draw(dropout, self.map.as_ref()), $($argument),*)?)
            })*
        }

        /// The CPU path in a pool of that many threads.
        pub struct Cpu {
            pool: rayon::ThreadPool,
            map: Option<IndexMap>,
        }

        impl Cpu {
            pub fn with_threads(threads: usize) -> Self {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                Self { pool, map: None }
            }

            pub fn over(self, map: IndexMap) -> Self {
                Self { map: Some(map), ..self }
            }
        }

        impl Backend for Cpu {
            fn name(&self) -> String {
                format!("cpu, {} threads", self.pool.current_num_threads())
            }

            $(fn $name$(<$element: Element>)?(&self, dropout: &Dropout, $($argument: $type),*) -> Outcome {
                Ok(self.pool.install(|| cpu::$name(draw(dropout, self.map.as_ref()), $($argument),*))?)
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
    forward_fused<T>(x: &[T], neighbours: Neighbours<'_, T>, y: &mut [T]);
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
