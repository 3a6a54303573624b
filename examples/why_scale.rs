//! Why dropout divides by the keep probability, and why the gradient is divided too: the two questions that
//! people ask when they learn dropout, answered with numbers.
//!
//! `cargo run --example why_scale [-- PLOT.svg]`

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;

use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use wgpu_dropout::{Dropout, ScaleMode, cpu};

/// Activations of a layer: ReLU of something wavy.
fn activations(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.7).sin().max(0.0)).collect()
}

fn mean(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64
}

/// What the next layer sees on average, in training and at inference, by p.
struct Row {
    p: f64,
    unscaled_training: f64,
    inverted_training: f64,
    classic_inference: f64,
}

/// Why divide by the keep probability?
fn expectations() -> Result<(f64, Vec<Row>), Box<dyn Error>> {
    let a = activations(1 << 20);
    let mut y = vec![0.0; a.len()];
    let inference = mean(&a);
    let mut rows = Vec::new();
    for tenths in 0..10 {
        let p = f64::from(tenths) / 10.0;
        let inverted = Dropout::new(p, 42)?;
        let classic = inverted.with_scale_mode(ScaleMode::Classic);
        let mut mean_of = |dropout: &Dropout, training: bool| -> Result<f64, Box<dyn Error>> {
            if training {
                cpu::forward(dropout, &a, &mut y)?;
            } else {
                cpu::inference(dropout, &a, &mut y)?;
            }
            Ok(mean(&y))
        };
        rows.push(Row {
            p,
            unscaled_training: mean_of(&classic, true)?,
            inverted_training: mean_of(&inverted, true)?,
            classic_inference: mean_of(&classic, false)?,
        });
        // Inverted dropout has nothing to do at inference.
        if mean_of(&inverted, false)?.to_bits() != inference.to_bits() {
            return Err("inverted dropout's inference is the identity".into());
        }
    }
    Ok((inference, rows))
}

/// The derivative of `y = a f(z)` with respect to z, for a kept unit: by central differences, and as the
/// backward pass gives it. f is the logistic function.
struct Gradient {
    z: f32,
    numeric: f64,
    backward: f64,
    without_factor: f64,
}

/// Why is the gradient divided, too?
fn gradients(dropout: &Dropout, z: &[f32]) -> Result<Vec<Gradient>, Box<dyn Error>> {
    let f = |z: f64| 1.0 / (1.0 + (-z).exp());
    let mut kept = vec![0u8; z.len()];
    cpu::byte_mask(dropout, &mut kept)?;
    let a = f64::from(dropout.probability.training_scale(dropout.scale_mode));
    // The forward pass as a function of z: the mask is fixed, since it is a function of p, seed and index.
    let forward = |i: usize, z: f64| if kept[i] == 1 { a * f(z) } else { 0.0 };

    // Backward: the gradient that comes from above (1 here) goes through the same mask and factor, then f'.
    let mut through_dropout = vec![0.0f32; z.len()];
    cpu::backward(dropout, &vec![1.0; z.len()], &mut through_dropout)?;
    let gradient = |i: usize, z32: f32| {
        let z = f64::from(z32);
        let slope = f(z) * (1.0 - f(z));
        let step = 1e-5;
        Gradient {
            z: z32,
            numeric: (forward(i, z + step) - forward(i, z - step)) / (2.0 * step),
            backward: f64::from(through_dropout[i]) * slope,
            without_factor: f64::from(kept[i]) * slope,
        }
    };
    Ok(z.iter().enumerate().map(|(i, &z)| gradient(i, z)).collect())
}

type Value = fn(&Row) -> f64;

fn plot(path: &str, inference: f64, rows: &[Row]) -> Result<(), Box<dyn Error>> {
    register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| "the plot's font is damaged")?;
    let area = SVGBackend::new(path, (800, 480)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Mean activation that the next layer sees", ("sans-serif", 20))
        .margin(15)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..0.9, 0.0..inference * 1.3)?;
    chart
        .configure_mesh()
        .x_desc("p")
        .y_desc("mean")
        .light_line_style(WHITE)
        .draw()?;
    // The second and the third coincide: the wide line shows beside the narrow one.
    let lines: [(&str, RGBColor, u32, Value); 3] = [
        ("training, inverted: equals inference without dropout", BLUE, 2, |row| {
            row.inverted_training
        }),
        ("training, not scaled", RED, 7, |row| row.unscaled_training),
        ("inference, classic: times the keep probability", GREEN, 2, |row| {
            row.classic_inference
        }),
    ];
    for (name, color, width, value) in lines {
        let style = color.stroke_width(width);
        chart
            .draw_series(LineSeries::new(rows.iter().map(|row| (row.p, value(row))), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("Why divide by the keep probability? Mean activation of 2^20 units:\n");
    let (inference, rows) = expectations()?;
    println!("  p    training, not scaled   training, inverted   inference, inverted   inference, classic");
    for row in &rows {
        println!(
            "  {:.1} {:>22.4} {:>20.4} {:>21.4} {:>20.4}",
            row.p, row.unscaled_training, row.inverted_training, inference, row.classic_inference
        );
        // What dropping does to the expectation, and what each way does about it. The bound is five standard
        // deviations of the mean of 2^20 units.
        let keep = 1.0 - row.p;
        let bound = 5.0 * (row.p / keep / f64::from(1 << 20)).sqrt();
        for (what, actual, expected) in [
            ("training without a factor", row.unscaled_training, keep * inference),
            ("inverted training", row.inverted_training, inference),
            ("classic inference", row.classic_inference, keep * inference),
        ] {
            if (actual - expected).abs() > bound + 1e-6 {
                return Err(format!("{what} at p {}: {actual}, expected {expected}", row.p).into());
            }
        }
    }
    println!(
        "\n  Dropping with probability p leaves (1 - p) of the expectation. Inverted dropout divides by 1 - p while"
    );
    println!("  training, so the next layer sees the same mean as at inference; classic dropout leaves training alone");
    println!("  and multiplies at inference. Either way both see the same.\n");

    println!("Why is the gradient divided, too? y = a f(z), a = 1 / (1 - p), f logistic, p = 0.5:\n");
    println!("       z    dy/dz, numeric   backward pass   without the factor");
    let z: Vec<f32> = (0..8).map(|i| i as f32 * 0.75 - 3.0).collect();
    for row in gradients(&Dropout::new(0.5, 5)?, &z)? {
        println!(
            "  {:>6.2} {:>16.6} {:>15.6} {:>20.6}",
            row.z, row.numeric, row.backward, row.without_factor
        );
        if (row.numeric - row.backward).abs() > 1e-8 {
            return Err(format!("the backward pass at z = {} is not the derivative", row.z).into());
        }
    }
    println!("\n  The derivative of a f(z) is a f'(z): the gradient carries the factor because the forward pass does.");
    println!("  Leave it out and a kept unit learns at (1 - p) of its rate; a dropped one has no gradient either way.");

    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "target/why_scale.svg".to_owned());
    plot(&path, inference, &rows)?;
    println!("\nwrote {path}");
    Ok(())
}
