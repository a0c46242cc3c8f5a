//! [`Turns`]: what several contestants reached, turn by turn.

/// What several contestants reached, turn by turn. The first one is what the others are compared
/// with, in the same turn.
pub struct Turns {
    title: String,
    contestants: Vec<(&'static str, Vec<f64>)>,
}

impl Turns {
    pub fn new(title: &str, contestants: &[&'static str]) -> Self {
        let contestants = contestants.iter().map(|name| (*name, Vec::new())).collect();
        Self { title: title.to_owned(), contestants }
    }

    pub fn add(&mut self, contestant: usize, value: f64) {
        self.contestants[contestant].1.push(value);
    }

    /// The median of a contestant.
    pub fn median(&self, contestant: usize) -> f64 {
        spread(&self.contestants[contestant].1).1
    }

    /// Prints a table of at most 80 columns.
    pub fn print(&self, decimals: usize) {
        println!("\n{:40} {:>9} {:>18} {:>6}", self.title, "median", "min to max", "ratio");
        let first = &self.contestants[0].1;
        for (name, values) in &self.contestants {
            let (min, median, max) = spread(values);
            let ratios: Vec<f64> = values.iter().zip(first).map(|(a, b)| a / b).collect();
            let (_, ratio, _) = spread(&ratios);
            let range = format!("{min:.decimals$} to {max:.decimals$}");
            println!("  {name:38} {median:>9.decimals$} {range:>18} {ratio:>6.2}");
        }
    }
}

/// Minimum, median and maximum.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[0], sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
