//! The index map of one dispatch as the shader reads it. Shader twin: `shaders/buffers/map.wgsl`, held equal by a test.

use bytemuck::{Pod, Zeroable};

use super::params::halves;
use super::plan::MAX_WINDOW_ELEMENTS;
use super::variant::Stream;
use crate::IndexMap;

/// Dimensions that can matter: each is at least 2 long, and all together they have less than 2^64 elements.
const DIMENSIONS: usize = 64;

/// A length that no dispatch reaches the end of, unless it starts close to it.
const LONG: u64 = 2 * MAX_WINDOW_ELEMENTS;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
struct MapDimension {
    jump: [u32; 2],
    length: u32,
    start: u32,
}

/// The map as the shader reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct MapUniform {
    dimensions: [MapDimension; DIMENSIONS],
    stride: [u32; 2],
    count: u32,
    seed_length: u32,
    seed_start: u32,
    first_seed: u32,
    reserved: [u32; 2],
}

impl MapUniform {
    /// The map, or none, for a dispatch that starts at local element `first` and has [`MAX_WINDOW_ELEMENTS`] at most.
    pub(crate) fn new(map: Option<&IndexMap>, first: u64) -> Self {
        let mut uniform = Self::zeroed();
        // One after the other and without an end, as far as there is no dimension.
        uniform.stride = halves(1);
        for slot in &mut uniform.dimensions {
            slot.length = LONG as u32;
        }
        let mut dimensions = map.into_iter().flat_map(|map| map.coordinates(first)).peekable();
        if let Some((innermost, _)) = dimensions.peek() {
            uniform.stride = halves(innermost.stride);
        }
        uniform.count = 1;
        for n in 0..DIMENSIONS {
            let Some((dimension, coordinate)) = dimensions.next() else {
                break;
            };
            let outer = dimensions.peek().map_or(0, |(outer, _)| outer.stride);
            let (length, start) = counted(dimension.length, coordinate);
            uniform.dimensions[n] = MapDimension {
                // Of the true length; modulo 2^64, as the shader reckons.
                jump: halves(outer.wrapping_sub(dimension.length.wrapping_mul(dimension.stride))),
                length,
                start,
            };
            uniform.count = n as u32 + 1;
        }
        uniform
    }

    /// The same where `elements_per_seed` share a seed, counted from `first` elements before the dispatch's own.
    pub(crate) fn with_seeds(self, elements_per_seed: u64, first: u64) -> Self {
        let (seed_length, seed_start) = counted(elements_per_seed, first % elements_per_seed);
        Self {
            seed_length,
            seed_start,
            // A seed's number fits, since all seeds fit into one binding.
            first_seed: (first / elements_per_seed) as u32,
            ..self
        }
    }
}

/// How whole tiles of so many elements of a map that is not one run lie in the stream; [`Stream::Rows`] only where the first
/// element does as tiles do.
pub(crate) fn stream_of(map: &IndexMap, tile: u64) -> Stream {
    let mut dimensions = map.coordinates(0);
    let Some((inner, start)) = dimensions.next() else {
        return Stream::Mapped;
    };
    let outer: Vec<_> = dimensions.map(|(dimension, _)| dimension.stride).collect();
    let are_tiles = inner.length.is_multiple_of(tile) && start.is_multiple_of(tile) && outer.len() < 3;
    match inner.stride {
        0 if are_tiles => Stream::Shared,
        1 if are_tiles && outer.iter().all(|stride| stride.is_multiple_of(tile)) => Stream::Rows,
        2.. if are_tiles && outer.first() == Some(&1) && inner.length <= LONGEST_ROW => Stream::Columns,
        _ => Stream::Mapped,
    }
}

/// Longest row of a panel; of longer ones no dispatch has many.
const LONGEST_ROW: u64 = MAX_WINDOW_ELEMENTS / PANEL_ROWS;

/// Rows of a panel; shader twin in stream/columns.wgsl.
const PANEL_ROWS: u64 = 16;

/// Invocations of [`Stream::Columns`] for so many elements from a window's first on, by tiles of so many: one a panel, in the
/// order of rows of panels. The first and the last row of panels may lie in the window in part.
pub(crate) fn panels(map: &IndexMap, first: u64, elements: u32, tile: u64) -> u64 {
    let mut dimensions = map.coordinates(first).map(|(dimension, at)| (dimension.length, at));
    let (Some((columns, column)), Some((rows, row))) = (dimensions.next(), dimensions.next()) else {
        return 0;
    };
    let (rows, row) = counted(rows, row);
    let (rows, row) = (u64::from(rows), u64::from(row));
    let last = row + (column + u64::from(elements).saturating_sub(1)) / columns;
    let panel_row = |row: u64| row / rows * rows.div_ceil(PANEL_ROWS) + row % rows / PANEL_ROWS;
    (panel_row(last) - panel_row(row) + 1) * (columns / tile)
}

/// A length and a place in it as 32 bits count them. Where it is longer than those, a dispatch reaches its end once at
/// most: all that matters is how far away that is.
fn counted(length: u64, place: u64) -> (u32, u32) {
    match length {
        0..=LONG => (length as u32, place as u32),
        _ => (LONG as u32, LONG.saturating_sub(length - place) as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::layout;
    use crate::gpu::variant::TILE;

    #[test]
    fn host_and_shader_layouts_agree() {
        let text = include_str!("../../shaders/buffers/map.wgsl");
        let layout = |name| layout::of_struct(text, name);
        let dimension = (
            layout::host!(MapDimension: jump length start),
            size_of::<MapDimension>(),
        );
        assert_eq!(layout("MapDimension"), dimension);
        assert_eq!(
            layout("Map"),
            (
                layout::host!(MapUniform: dimensions stride count seed_length seed_start first_seed reserved),
                size_of::<MapUniform>()
            )
        );
    }

    /// What the shader computes, with its 32-bit counts.
    fn place_of(uniform: &MapUniform, origin: u64, element: u32) -> (u64, u32) {
        let wide = |[low, high]: [u32; 2]| u64::from(low) | u64::from(high) << 32;
        let mut index = origin.wrapping_add(u64::from(element).wrapping_mul(wide(uniform.stride)));
        let (mut steps, mut left) = (element, 0);
        for (n, dimension) in uniform.dimensions[..uniform.count as usize].iter().enumerate() {
            let position = dimension.start.checked_add(steps).expect("fits");
            let rounds = position / dimension.length;
            if n == 0 {
                left = dimension.length - position % dimension.length;
            }
            index = index.wrapping_add(u64::from(rounds).wrapping_mul(wide(dimension.jump)));
            steps = rounds;
        }
        (index, left)
    }

    #[test]
    fn dispatches_anywhere_in_dimensions_of_any_length() {
        let maps = [
            IndexMap::new(&[3, 4, 2, 5], &[7, 0, 1000, 3]).unwrap(),
            IndexMap::new(&[3, (1 << 31) + 7], &[1, 0]).unwrap(),
            IndexMap::new(&[5, 1 << 33, 3], &[1 << 50, 7, 1 << 40]).unwrap(),
            IndexMap::new(&[1 << 20, (1 << 32) - 1], &[0, 5]).unwrap(),
            IndexMap::new(&[1 << 40, 3], &[3, 9]).unwrap(),
            IndexMap::new(&[2; 63], &[0; 63]).unwrap(),
            IndexMap::new(&[2; 63], &core::array::from_fn::<_, 63, _>(|n| 3 << (n % 40))).unwrap(),
        ];
        for map in &maps {
            let ends = [1, 2, 1 << 30, (1 << 31) + 7, 1 << 33, (1 << 32) - 1, map.elements()];
            for end in ends.into_iter().filter(|&end| end <= map.elements()) {
                for before in [
                    0,
                    1,
                    7,
                    1000,
                    MAX_WINDOW_ELEMENTS - 1,
                    MAX_WINDOW_ELEMENTS,
                    MAX_WINDOW_ELEMENTS + 1,
                ] {
                    let Some(first) = end.checked_sub(before) else { continue };
                    let uniform = MapUniform::new(Some(map), first);
                    for element in [0, 1, 2, 15, 16, 999, 1000, MAX_WINDOW_ELEMENTS as u32 - 1] {
                        let i = first + u64::from(element);
                        if i < map.elements() && first < map.elements() {
                            let (index, left) = place_of(&uniform, map.index(first), element);
                            assert_eq!(index, map.index(i), "{map:?}: {i}");
                            let run = map.coordinates(i).next().map_or(1, |(d, at)| d.length - at);
                            assert_eq!(left.min(16), run.min(16) as u32, "{map:?}: {i}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn short_cuts_are_for_maps_of_whole_tiles() {
        let of_tiles = |shape: &[u64], strides: &[u64], tile| stream_of(&IndexMap::new(shape, strides).unwrap(), tile);
        let of = |shape: &[u64], strides: &[u64]| of_tiles(shape, strides, TILE);
        // Shared along rows of whole tiles, in three dimensions at most.
        assert_eq!(of(&[3, 32], &[1, 0]), Stream::Shared);
        assert_eq!(of(&[5, 3, 32], &[9, 1, 0]), Stream::Shared);
        assert_eq!(of(&[5, 3, 7, 32], &[90, 9, 1, 0]), Stream::Mapped);
        assert_eq!(of(&[3, 33], &[1, 0]), Stream::Mapped);
        // Rows of whole tiles that lie in the stream as tiles do.
        assert_eq!(of(&[3, 32], &[48, 1]), Stream::Rows);
        assert_eq!(of(&[5, 3, 32], &[0, 48, 1]), Stream::Rows);
        assert_eq!(of(&[5, 3, 7, 32], &[16, 0, 480, 1]), Stream::Mapped);
        assert_eq!(of(&[3, 32], &[40, 1]), Stream::Mapped);
        assert_eq!(of(&[3, 24], &[48, 1]), Stream::Mapped);
        assert_eq!(of(&[5, 3, 32], &[40, 48, 1]), Stream::Mapped);
        // Columns that are runs of the stream, anywhere in it, below dimensions that lie in any way.
        assert_eq!(of(&[3, 32], &[1, 3]), Stream::Columns);
        assert_eq!(of(&[5, 3, 32], &[97, 1, 3]), Stream::Columns);
        assert_eq!(of(&[5, 3, 7, 32], &[0, 97, 1, 7]), Stream::Mapped);
        assert_eq!(of(&[3, 33], &[1, 3]), Stream::Mapped);
        assert_eq!(of(&[3, 32], &[2, 7]), Stream::Mapped);
        assert_eq!(of(&[3, 1 << 27], &[1, 3]), Stream::Mapped);
        // Windows that begin within a tile.
        assert_eq!(of(&[1], &[1]), Stream::Mapped);
        let rows = IndexMap::new(&[3, 32], &[48, 1]).unwrap();
        assert_eq!(stream_of(&rows.window(16, 64).unwrap(), TILE), Stream::Rows);
        assert_eq!(stream_of(&rows.window(8, 64).unwrap(), TILE), Stream::Mapped);
        // Smaller tiles, which more rows are made of.
        for (shape, strides, stream) in [
            ([3, 24], [1, 0], Stream::Shared),
            ([3, 24], [40, 1], Stream::Rows),
            ([3, 24], [1, 3], Stream::Columns),
        ] {
            assert_eq!(of_tiles(&shape, &strides, 8), stream);
            assert_eq!(of_tiles(&shape, &strides, TILE), Stream::Mapped);
        }
        assert_eq!(of_tiles(&[3, 20], &[40, 1], 4), Stream::Rows);
        assert_eq!(of_tiles(&[3, 20], &[40, 1], 8), Stream::Mapped);
        assert_eq!(of_tiles(&[3, 24], &[36, 1], 8), Stream::Mapped);
        assert_eq!(stream_of(&rows.window(8, 64).unwrap(), 8), Stream::Rows);
    }

    #[test]
    fn panels_reach_every_tile_of_a_window_once() {
        for (samples, rows, columns, tile) in [
            (1, 2, 32, TILE),
            (3, 5, 16, TILE),
            (4, 16, 48, TILE),
            (3, 49, 32, 8),
            (2, 35, 64, TILE),
            (3, 21, 20, 4),
            (2, 35, 24, 8),
        ] {
            let map = IndexMap::plain(&[samples, columns, rows]).unwrap();
            let map = map.permuted(&[0, 2, 1]).unwrap();
            let tiles = map.elements() / tile;
            for (first, count) in [(0, tiles), (1, tiles - 1), (tiles / 2, tiles / 3), (tiles - 1, 1)] {
                let (tiles_per_row, uniform) = (columns / tile, MapUniform::new(Some(&map), first * tile));
                let [start, row_start] = [0, 1].map(|n: usize| u64::from(uniform.dimensions[n].start));
                let mut reached = vec![0; count as usize];
                let panels = panels(&map, first * tile, (count * tile) as u32, tile);
                for invocation in 0..panels {
                    // As panel_of in stream/columns.wgsl has it.
                    let panel_row = row_start / PANEL_ROWS + invocation / tiles_per_row;
                    let per_round = rows.div_ceil(PANEL_ROWS);
                    let row = panel_row % per_round * PANEL_ROWS;
                    let down = (panel_row / per_round * rows + row).wrapping_sub(row_start);
                    let right = (invocation % tiles_per_row).wrapping_sub(start / tile);
                    for below in 0..PANEL_ROWS.min(rows - row) {
                        let tile = down.wrapping_add(below).wrapping_mul(tiles_per_row).wrapping_add(right);
                        if let Some(reached) = reached.get_mut(tile as usize) {
                            *reached += 1;
                        }
                    }
                }
                assert!(
                    reached.iter().all(|&times| times == 1),
                    "{map:?} from tile {first}: {reached:?}"
                );
                assert!(panels * tile <= (count + 2 * PANEL_ROWS * tiles_per_row) * tile);
            }
        }
    }

    #[test]
    fn seeds_are_counted_from_anywhere() {
        for elements_per_seed in [1, 7, 1000, LONG, LONG + 1, 1 << 40] {
            for first in [0, 1, 6, 7, 8, 999, 1_000_003, LONG - 1, LONG, (1 << 40) + 5] {
                let uniform = MapUniform::new(None, first).with_seeds(elements_per_seed, first);
                for element in [0u32, 1, 7, 999, 1000, MAX_WINDOW_ELEMENTS as u32 - 1] {
                    let seed = uniform.first_seed + (uniform.seed_start + element) / uniform.seed_length;
                    let expected = ((first + u64::from(element)) / elements_per_seed) as u32;
                    assert_eq!(seed, expected, "{elements_per_seed}: {first} + {element}");
                }
            }
        }
    }
}
