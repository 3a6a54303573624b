//! Fresh memory for outputs, in huge pages where the system offers them.
//!
//! A page of 4 KiB that is touched for the first time costs a fault, and all of them together several times
//! the dropout itself. Linux gives 2 MiB at a time where it is asked to. `unsafe` is that system call, a
//! hint; what it gains is in BENCHMARKS.md.

use crate::{Element, SliceError};

/// From this size on it is worth the call.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// Zeros that no page has been touched for yet, or an error instead of an abort.
pub(super) fn zeroed<T: Element>(elements: usize) -> Result<Vec<T>, SliceError> {
    let zeros = bytemuck::try_zeroed_slice_box(elements).map_err(|()| SliceError::OutOfMemory {
        elements: elements as u64,
        bytes: (elements as u64).saturating_mul(size_of::<T>() as u64),
    })?;
    #[cfg(target_os = "linux")]
    let zeros = prefer_huge_pages(zeros);
    Ok(Vec::from(zeros))
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a system call")]
fn prefer_huge_pages<T: Element>(mut zeros: Box<[T]>) -> Box<[T]> {
    let range = zeros.as_mut_ptr_range();
    // Only whole huge pages of the allocation itself.
    let start = range.start.addr().next_multiple_of(HUGE_PAGE);
    let end = range.end.addr() / HUGE_PAGE * HUGE_PAGE;
    if start < end {
        // SAFETY: the range lies within memory that is ours alone, and the advice changes nothing of what it
        // holds. Where the kernel does not know it, it says so, and pages stay as they are.
        unsafe {
            libc::madvise(range.start.with_addr(start).cast(), end - start, libc::MADV_HUGEPAGE);
        }
    }
    zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_any_length() {
        for elements in [0, 1, 1000, 1 << 19, (1 << 22) + 3] {
            let zeros = zeroed::<f32>(elements).expect("memory");
            assert_eq!(zeros.len(), elements);
            assert!(zeros.iter().all(|x| x.to_bits() == 0));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri stops where memory ends")]
    fn too_much_is_an_error() {
        #[cfg(target_pointer_width = "64")]
        assert_eq!(
            zeroed::<f32>(1 << 60).expect_err("more than there is"),
            SliceError::OutOfMemory {
                elements: 1 << 60,
                bytes: 1 << 62
            }
        );
        assert!(zeroed::<f32>(usize::MAX).is_err());
    }
}
