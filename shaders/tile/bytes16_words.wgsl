// SPDX-License-Identifier: MIT OR Apache-2.0
// A tile of 16 bytes, four f32: invocations that follow each other then load and store 16 bytes that follow each other,
// which a GPU does in one go. What a block decides is drawn once for each tile.

const TILE: u32 = 4u;
