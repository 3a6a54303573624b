//! The plot: share of memory speed over the size, one line a backend, element type and whatever else varies.

use std::error::Error;
use std::io::Write;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::report::{Report, Row, elements_name};
use crate::output::Output;

const SIZE: (u32, u32) = (1000, 620);

/// Draws the report in the format that the file's name asks for.
pub fn draw(report: &Report, file: &mut Output) -> Result<(), Box<dyn Error>> {
    // A font of our own: machines without any are common, and the plot is the same everywhere.
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the plot's font is damaged")?;
    if file.path().extension().is_some_and(|extension| extension == "svg") {
        let mut svg = String::new();
        draw_on(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), report)?;
        file.write_all(svg.as_bytes())?;
        return Ok(());
    }
    let (width, height) = (SIZE.0 * 2, SIZE.1 * 2);
    let mut pixels = vec![0; (width * height * 3) as usize];
    draw_on(
        &BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(),
        report,
    )?;
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}

/// What tells one line from another.
fn line_name(row: &Row, rows: &[Row]) -> String {
    let mut name = format!("{} {}", row.adapter.as_deref().unwrap_or("CPU"), row.dtype);
    let mut add = |of: fn(&Row) -> String| {
        if rows.iter().any(|other| of(other) != of(row)) {
            name = format!("{name}, {}", of(row));
        }
    };
    add(|row| row.op.to_owned());
    add(|row| format!("{} bits", row.random_bits));
    add(|row| format!("{} mask", row.mask));
    add(|row| format!("p {}", row.p));
    name
}

fn draw_on<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, report: &Report) -> Result<(), Box<dyn Error>>
where
    DB::ErrorType: 'static,
{
    let rows = &report.rows;
    let (_, height) = area.dim_in_pixel();
    // Everything in proportion to the picture.
    let unit = height / 31;
    let font = |size: u32| ("sans-serif", size).into_font();
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for row in rows {
        let name = line_name(row, rows);
        let point = (row.elements as f64, row.share() * 100.0);
        match lines.iter_mut().find(|(line, _)| *line == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    let sizes = || rows.iter().map(|row| row.elements as f64);
    let (least, most) = (sizes().fold(f64::INFINITY, f64::min), sizes().fold(1.0, f64::max));
    let (left, right) = (least.min(most) / 1.3, most * 1.3);
    let highest = rows.iter().map(|row| row.share() * 100.0).fold(110.0, f64::max);

    // The legend has a place of its own, where it hides no line.
    let legend_rows = lines.len().div_ceil(2) as u32;
    let (picture, legend) = area.split_vertically(height.saturating_sub(unit * legend_rows + unit / 2));
    let (legend_width, _) = legend.dim_in_pixel();

    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&picture)
        .caption("Dropout: share of memory speed", font(unit))
        .margin(unit)
        .x_label_area_size(unit * 2)
        .y_label_area_size(unit * 3)
        .build_cartesian_2d((left..right).log_scale().base(2.0), 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("elements")
        .y_desc("% of a copy kernel (GPU) or of y = x * s (CPU)")
        .x_label_formatter(&|x| elements_name(x.round() as u64))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(font(unit * 7 / 10))
        .light_line_style(WHITE)
        .draw()?;
    let roof = BLACK.stroke_width((unit / 10).max(1));
    chart.draw_series(LineSeries::new([(left, 100.0), (right, 100.0)], roof))?;
    for (number, (name, mut points)) in lines.into_iter().enumerate() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let style = Palette99::pick(number)
            .to_rgba()
            .filled()
            .stroke_width((unit / 7).max(1));
        chart.draw_series(LineSeries::new(points, style).point_size(unit / 4))?;
        let (column, row) = (
            (number / legend_rows as usize) as i32,
            (number % legend_rows as usize) as i32,
        );
        let unit = unit as i32;
        let (x, y) = (column * legend_width as i32 / 2 + 4 * unit, row * unit + unit / 2);
        legend.draw(&PathElement::new([(x - 2 * unit, y), (x - unit / 2, y)], style))?;
        legend.draw(&Text::new(name, (x, y - unit / 5), font(unit as u32 * 6 / 10)))?;
    }
    area.present()?;
    Ok(())
}
