// SPDX-License-Identifier: MIT OR Apache-2.0
// The parameters in a slot of a uniform buffer, chosen by a dynamic offset: for devices without immediates.

@group(1) @binding(0) var<uniform> params: Params;
