// SPDX-License-Identifier: MIT OR Apache-2.0
// A tile of 16 elements: for processors that run a kernel's invocations one after another, or few side by side. What a
// block decides is then drawn once.

const TILE: u32 = 16u;
