// SPDX-License-Identifier: MIT OR Apache-2.0
// The parameters as immediates: set in the pass itself, no buffer.

var<immediate> params: Params;
