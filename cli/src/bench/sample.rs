//! Times, taken in turns with a roof.

use std::time::{Duration, Instant};

/// How long the turns of one case may go on, and how many there are at least and at most.
const BUDGET: Duration = Duration::from_millis(800);
const LEAST: usize = 9;
const MOST: usize = 201;

/// One run: wall time, and the GPU's own where it has timestamps, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub wall: f64,
    pub gpu: Option<f64>,
}

/// Runs of one thing.
#[derive(Debug, Default)]
pub struct Samples {
    wall: Vec<f64>,
    gpu: Vec<f64>,
}

/// Median and interquartile range, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub spread: f64,
}

impl Samples {
    fn push(&mut self, sample: Sample) {
        self.wall.push(sample.wall);
        self.gpu.extend(sample.gpu);
    }

    pub fn count(&self) -> usize {
        self.wall.len()
    }

    pub fn wall(&self) -> Summary {
        summary(&self.wall)
    }

    pub fn gpu(&self) -> Option<Summary> {
        (!self.gpu.is_empty()).then(|| summary(&self.gpu))
    }
}

fn summary(times: &[f64]) -> Summary {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let last = sorted.len().saturating_sub(1) as f64;
        sorted.get((part * last).round() as usize).copied().unwrap_or(f64::NAN)
    };
    Summary {
        median: at(0.5),
        spread: at(0.75) - at(0.25),
    }
}

/// Roof and case in turns, so that both see the same machine; the roof first and last.
pub fn in_turns<E>(
    mut roof: impl FnMut() -> Result<Sample, E>,
    mut case: impl FnMut() -> Result<Sample, E>,
) -> Result<(Samples, Samples), E> {
    let (mut roofs, mut cases) = (Samples::default(), Samples::default());
    // Neither counts the first time.
    roof()?;
    case()?;
    let start = Instant::now();
    roofs.push(roof()?);
    while cases.count() < LEAST || (cases.count() < MOST && start.elapsed() < BUDGET) {
        cases.push(case()?);
        roofs.push(roof()?);
    }
    Ok((roofs, cases))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_interquartile_range() {
        let times = [5.0, 1.0, 2.0, 4.0, 3.0];
        assert_eq!(
            summary(&times),
            Summary {
                median: 3.0,
                spread: 2.0
            }
        );
        assert_eq!(
            summary(&[7.0]),
            Summary {
                median: 7.0,
                spread: 0.0
            }
        );
    }

    #[test]
    fn turns_alternate_and_errors_end_them() {
        let order = std::cell::RefCell::new(String::new());
        let run = |name: char| {
            order.borrow_mut().push(name);
            let gpu = (name == 'c').then_some(0.5);
            if order.borrow().len() > 40 {
                Err("enough")
            } else {
                Ok(Sample { wall: 1.0, gpu })
            }
        };
        assert_eq!(in_turns(|| run('r'), || run('c')).err(), Some("enough"));
        assert!(order.borrow().starts_with("rcrcrcrc"));
    }
}
