//! The floating-point environment that the contract assumes: to nearest even, subnormals kept, nothing trapped.
//!
//! A process may have set another one for a thread: PyTorch's `set_flush_denormal`, a library linked with `-ffast-math`, which
//! sets it where it is loaded, audio programs, interval arithmetic. Threads inherit it. Rust has no word for the register
//! that it is in, so `unsafe` is the instructions that read and write it.

use core::hint::black_box;

/// Does it in that environment, and leaves the thread the one that it had.
#[inline(always)]
pub(crate) fn with_default<R>(work: impl FnOnce() -> R) -> R {
    let _restored = Restored::set_default();
    apart(work)
}

/// The compiler knows of no environment: it would move arithmetic to before the register is set. It does not move it out of a
/// function, nor a call of one that does what it can't look into.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    black_box(());
    work()
}

#[cfg(any(miri, not(any(target_feature = "sse", target_arch = "aarch64"))))]
mod register {
    //! None that is known, or none that can be written: Miri runs no assembly.
    pub(super) const DEFAULT: u64 = 0;
    pub(super) const CONTROL: u64 = 0;

    pub(super) fn read() -> u64 {
        DEFAULT
    }

    pub(super) fn write(_: u64) {}
}

#[cfg(all(target_feature = "sse", not(miri)))]
#[expect(unsafe_code, reason = "the register has no other access")]
mod register {
    //! MXCSR, see Intel's manual, volume 1, section 10.2.3.
    use core::arch::asm;

    /// Every exception masked.
    pub(super) const DEFAULT: u64 = 0x1f80;
    /// All but the exceptions that were raised.
    pub(super) const CONTROL: u64 = 0xffc0;

    #[inline(always)]
    pub(super) fn read() -> u64 {
        let mut bits = 0u32;
        // SAFETY: stores 4 bytes in a place of that size.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut bits, options(nostack, preserves_flags)) };
        bits.into()
    }

    #[inline(always)]
    pub(super) fn write(bits: u64) {
        let bits = bits as u32;
        // SAFETY: loads 4 bytes from a place of that size; they were read from the register, or are its default.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const bits, options(nostack, preserves_flags)) };
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
#[expect(unsafe_code, reason = "the register has no other access")]
mod register {
    //! FPCR, see Arm's reference manual, section C5.2.8.
    use core::arch::asm;

    pub(super) const DEFAULT: u64 = 0;
    pub(super) const CONTROL: u64 = !0;

    #[inline(always)]
    pub(super) fn read() -> u64 {
        let bits: u64;
        // SAFETY: any program may read it.
        unsafe { asm!("mrs {}, fpcr", out(reg) bits, options(nostack, preserves_flags)) };
        bits
    }

    #[inline(always)]
    pub(super) fn write(bits: u64) {
        // SAFETY: any program may write it.
        unsafe { asm!("msr fpcr, {}", in(reg) bits, options(nostack, preserves_flags)) };
    }
}

/// What the register had, if it was another environment.
struct Restored(Option<u64>);

impl Restored {
    #[inline(always)]
    fn set_default() -> Self {
        let before = register::read();
        if before & register::CONTROL == register::DEFAULT {
            return Self(None);
        }
        register::write(register::DEFAULT);
        Self(Some(before))
    }
}

impl Drop for Restored {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            register::write(before);
        }
    }
}
