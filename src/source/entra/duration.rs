//! How long an extension waits, as it is written: ISO 8601 (`P14D`, `PT12H`), and as .NET writes it (`14.00:00:00`).

/// Milliseconds; `None`: it cannot be read, or is nothing.
pub(super) fn read(text: &str) -> Option<i64> {
    let text = text.trim();
    let ms = if text.starts_with(['P', 'p']) { iso(&text[1..])? } else { dotnet(text)? };
    (ms > 0).then_some(ms)
}

/// Weeks, days, hours, minutes, seconds; years and months have no fixed length.
fn iso(text: &str) -> Option<i64> {
    let (days, time) = match text.split_once(['T', 't']) {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let days = parts(days, &[('W', 604_800_000), ('D', 86_400_000)])?;
    days.checked_add(parts(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)])?)
}

/// Numbers, each with its unit, the units in this order.
fn parts(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let (mut sum, mut units) = (0_i64, units.iter());
    while !text.is_empty() {
        let at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = (&text[..at], text[at..].chars().next()?.to_ascii_uppercase());
        let (_, ms) = units.find(|(u, _)| *u == unit)?;
        sum = sum.checked_add(whole(number, *ms)?)?;
        text = &text[at + 1..];
    }
    Some(sum)
}

/// A number of digits, with or without a fraction, times its unit.
fn whole(number: &str, ms: i64) -> Option<i64> {
    let (digits, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
    let known = |part: &str| part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
    if digits.is_empty() || !known(digits) || !known(fraction) {
        return None;
    }
    let whole = digits.parse::<i64>().ok()?.checked_mul(ms)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_add(fraction.parse::<i64>().ok()?.checked_mul(ms)? / scale)
}

/// `[d.]hh:mm:ss[.fffffff]`.
fn dotnet(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (first, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (days, hours) = first.split_once('.').unwrap_or(("0", first));
    let sum = [(days, 86_400_000), (hours, 3_600_000), (minutes, 60_000), (seconds, 1_000)];
    sum.into_iter().try_fold(0_i64, |sum, (number, ms)| sum.checked_add(whole(number, ms)?))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn waits_are_read_as_they_are_written() {
        let day = 86_400_000;
        let good = [
            ("P14D", 14 * day),
            ("PT5M", 300_000),
            ("P1DT12H", day + day / 2),
            ("P2W", 14 * day),
            ("PT0.5H", 1_800_000),
            ("14.00:00:00", 14 * day),
            ("00:05:00", 300_000),
            ("1.12:30:15.5000000", day + 45_015_500),
        ];
        for (text, ms) in good {
            assert_eq!(read(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "14",
            "P1M",
            "P1Y",
            "PT1D",
            "P1D2W",
            "-P1D",
            "P-1D",
            "PT0S",
            "1:2",
            "a.b:c:d",
            "PTäM",
            "P99999999999D",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
