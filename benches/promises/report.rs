//! Medians, percentiles and lines to read.

/// The middle of a list; 0 of an empty one.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value below which so many of a hundred lie.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a list")]
    let place = ((sorted.len() as f64 - 1.0).max(0.0) * percent / 100.0).round() as usize;
    sorted.get(place).copied().unwrap_or(0.0)
}

/// The middle of the ratios of neighbouring rounds: what else the machine does weighs on both of a pair.
pub fn paired(measured: &[f64], floor: &[f64]) -> f64 {
    let ratios: Vec<f64> = measured.iter().zip(floor).map(|(m, f)| m / f).collect();
    median(&ratios)
}

/// One promised figure: `measured` must reach `wanted`, from below or from above.
pub fn verdict(what: &str, measured: f64, at_least: bool, wanted: f64) {
    let reached = if at_least { measured >= wanted } else { measured <= wanted };
    let sign = if at_least { "≥" } else { "≤" };
    println!("{} {what}: {measured:.2} (wanted {sign} {wanted:.2})", if reached { "PASS" } else { "FAIL" });
}

/// One row of rates: each round, and the median.
pub fn rates(what: &str, values: &[f64]) {
    let each: Vec<String> = values.iter().map(|v| format!("{v:.0}")).collect();
    println!("  {what:<44} {:>8.0}/s   n={} [{}]", median(values), values.len(), each.join(" "));
}
