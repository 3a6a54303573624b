// SPDX-License-Identifier: MIT OR Apache-2.0
// A tile of 16 bytes, eight elements of 16 bits: invocations that follow each other then load and store 16 bytes that
// follow each other, which a GPU does in one go.

const TILE: u32 = 8u;
