//! A training loop that is stopped and resumed: the masks go on as if it had not been, and the backward pass
//! draws its mask again instead of storing it.
//!
//! `cargo run --example checkpoint_resume --features serde`

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;

use wgpu_dropout::{Dropout, DropoutState, cpu};

const UNITS: usize = 4096;
const STEPS: usize = 6;

/// All that a checkpoint holds: weights, and the state that says which mask is next.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Checkpoint {
    step: usize,
    weights: Vec<f32>,
    dropout: DropoutState,
}

impl Checkpoint {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            step: 0,
            weights: (0..UNITS).map(|i| (i as f32 * 0.1).sin()).collect(),
            dropout: DropoutState::new(0.2, 42)?,
        })
    }

    /// One step: y = dropout(w), loss = sum of y^2 / 2, so dy = y; w -= 0.1 dw. What the forward pass leaves for
    /// the backward pass is `call`: a few integers.
    fn step(&mut self) -> Result<(Dropout, usize), Box<dyn Error>> {
        let call = self.dropout.next_call()?;
        let mut y = vec![0.0; UNITS];
        cpu::forward(&call, &self.weights, &mut y)?;
        let mut dw = vec![0.0; UNITS];
        cpu::backward(&call, &y, &mut dw)?;
        let mut dropped = 0;
        for ((w, dw), y) in self.weights.iter_mut().zip(&dw).zip(&y) {
            // The same mask: where nothing went forward, nothing comes back.
            if (*y == 0.0) != (*dw == 0.0) {
                return Err("forward and backward drew different masks".into());
            }
            dropped += usize::from(*y == 0.0);
            *w -= 0.1 * dw;
        }
        self.step += 1;
        Ok((call, dropped))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut run = Checkpoint::new()?;
    let mut saved = String::new();
    for step in 0..STEPS {
        if step == STEPS / 2 {
            saved = serde_json::to_string(&run)?;
            println!(
                "-- checkpoint: {} of dropout: {}",
                saved.len(),
                serde_json::to_string(&run.dropout)?
            );
        }
        let (call, dropped) = run.step()?;
        println!(
            "step {step}: subsequence {}, {dropped} of {UNITS} dropped",
            call.subsequence
        );
    }

    println!("-- resumed");
    let mut resumed: Checkpoint = serde_json::from_str(&saved)?;
    while resumed.step < STEPS {
        let step = resumed.step;
        let (call, dropped) = resumed.step()?;
        println!(
            "step {step}: subsequence {}, {dropped} of {UNITS} dropped",
            call.subsequence
        );
    }
    if resumed != run {
        return Err("the resumed run went another way".into());
    }
    println!("both runs end with the same weights, to the bit");
    Ok(())
}
