//! Faults as a person asks for them: `slow=10%`, `jira:search-lag=30s`, `platform:forget-answers=5`.

use std::str::FromStr;
use std::sync::atomic::Ordering;

use super::faults::{Faults, Harm, Target, When};
use super::platform::PlatformFaults;

/// Everything that can be asked for.
pub const HELP: &str = "\
Faults of the desks; before a name may stand `jira:` or `servicenow:`, else both have it. Without a share it is 10%.
  slow[=10%]                 an answer comes 3 s late
  too-many-requests[=10%]    429 with Retry-After
  error-before-effect[=10%]  500, and nothing was done
  error-after-effect[=10%]   500, although it was done
  answer-lost[=10%]          it was done, and the connection breaks
  html[=10%]                 200 with a page instead of JSON
  search-lag=30s             what is written can be searched only later
  clock-skew=90s             the desk's clock is ahead (-90s: behind)
  credentials-revoked        nobody lets us in any more
Faults of the identity platform:
  platform:slow=500ms        every answer comes late
  platform:refuse-reports=5  the next so many completions are answered 500 without being taken
  platform:forget-answers=5  the next so many are taken, but answered 500
  platform:gone              every completion is answered 410
";

/// How late a slow answer is, milliseconds: within the demo's time-outs.
const SLOW_MS: u64 = 3_000;
/// Retry-After of a busy desk, seconds.
const BUSY_SECS: u64 = 2;

/// Who has the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Both desks.
    Desks,
    /// The sandbox Jira.
    Jira,
    /// The sandbox `ServiceNow`.
    ServiceNow,
    /// The identity platform.
    Platform,
}

/// One fault, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedFault {
    /// Who has it.
    pub whose: Whose,
    /// Which.
    pub what: What,
}

/// Which fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Some calls of a desk go wrong.
    Harm(Harm, When),
    /// A desk's search lags so many milliseconds.
    SearchLag(i64),
    /// A desk's clock is so many milliseconds ahead.
    ClockSkew(i64),
    /// A desk no longer lets us in.
    Revoked,
    /// The platform answers so many milliseconds late.
    Slow(u64),
    /// The platform refuses so many reports.
    RefuseReports(u64),
    /// The platform forgets so many answers.
    ForgetAnswers(u64),
    /// The platform takes no report any more.
    Gone,
}

impl FromStr for AskedFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whose, rest) = match text.split_once(':') {
            None => (Whose::Desks, text),
            Some(("jira", rest)) => (Whose::Jira, rest),
            Some(("servicenow", rest)) => (Whose::ServiceNow, rest),
            Some(("platform", rest)) => (Whose::Platform, rest),
            Some((other, _)) => return Err(format!("there is no `{other}` in the sandbox; see --fault help")),
        };
        let (name, value) = rest.split_once('=').map_or((rest, None), |(name, value)| (name, Some(value)));
        let what = if whose == Whose::Platform { of_platform(name, value) } else { of_desk(name, value) };
        Ok(Self { whose, what: what? })
    }
}

fn of_desk(name: &str, value: Option<&str>) -> Result<What, String> {
    let harm = match name {
        "slow" => Harm::Slow(SLOW_MS),
        "too-many-requests" => Harm::Busy(Some(BUSY_SECS)),
        "error-before-effect" => Harm::FailBefore,
        "error-after-effect" => Harm::FailAfter,
        "answer-lost" => Harm::Lost,
        "html" => Harm::Html,
        "search-lag" => return span(name, value).map(What::SearchLag),
        "clock-skew" => return span(name, value).map(What::ClockSkew),
        "credentials-revoked" => return Ok(What::Revoked),
        _ => return Err(unknown(name)),
    };
    Ok(What::Harm(harm, share(name, value)?))
}

fn of_platform(name: &str, value: Option<&str>) -> Result<What, String> {
    let number = || {
        let value = value.ok_or_else(|| format!("say how many, as in {name}=5"))?;
        value.parse().map_err(|_| format!("`{value}` is not a number, as in {name}=5"))
    };
    Ok(match name {
        "slow" => What::Slow(span(name, value)?.unsigned_abs()),
        "refuse-reports" => What::RefuseReports(number()?),
        "forget-answers" => What::ForgetAnswers(number()?),
        "gone" => What::Gone,
        _ => return Err(unknown(name)),
    })
}

fn unknown(name: &str) -> String {
    format!("there is no fault `{name}`; see --fault help")
}

fn share(name: &str, value: Option<&str>) -> Result<When, String> {
    let value = value.unwrap_or("10%");
    let percent = value.strip_suffix('%').and_then(|n| n.parse::<u64>().ok()).filter(|n| *n <= 100);
    match percent {
        Some(100) => Ok(When::Always),
        Some(n) => Ok(When::Permille(n * 10)),
        None => Err(format!("`{value}` is not a share, as in {name}=10%")),
    }
}

fn span(name: &str, value: Option<&str>) -> Result<i64, String> {
    let value = value.ok_or_else(|| format!("say how long, as in {name}=30s"))?;
    let (sign, length) = value.strip_prefix('-').map_or((1, value), |length| (-1, length));
    let length = humantime::parse_duration(length).ok().and_then(|d| i64::try_from(d.as_millis()).ok());
    length.map(|ms| ms * sign).ok_or_else(|| format!("`{value}` is not a span of time, as in {name}=30s"))
}

impl AskedFault {
    /// Whether the sandbox Jira (else the `ServiceNow`) has it.
    #[must_use]
    pub fn is_on_desk(&self, jira: bool) -> bool {
        match self.whose {
            Whose::Desks => true,
            Whose::Jira => jira,
            Whose::ServiceNow => !jira,
            Whose::Platform => false,
        }
    }

    /// Puts it in force on a desk.
    pub fn put_on_desk(&self, faults: &Faults) {
        match self.what {
            What::Harm(harm, when) => faults.add(Target::Any, harm, when),
            What::SearchLag(ms) => faults.set_search_lag_ms(ms),
            What::ClockSkew(ms) => faults.set_skew_ms(ms),
            What::Revoked => faults.set_revoked(true),
            What::Slow(_) | What::RefuseReports(_) | What::ForgetAnswers(_) | What::Gone => {}
        }
    }

    /// Puts it in force on the platform.
    pub fn put_on_platform(&self, faults: &PlatformFaults) {
        match self.what {
            What::Slow(ms) => faults.slow_ms.store(ms, Ordering::SeqCst),
            What::RefuseReports(n) => faults.refuse_reports.store(n, Ordering::SeqCst),
            What::ForgetAnswers(n) => faults.forget_answers.store(n, Ordering::SeqCst),
            What::Gone => faults.gone.store(true, Ordering::SeqCst),
            What::Harm(..) | What::SearchLag(_) | What::ClockSkew(_) | What::Revoked => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_help_is_understood_and_others_are_told() {
        let names = HELP.lines().filter_map(|line| line.strip_prefix("  ")).filter_map(|line| line.split_whitespace().next());
        let mut seen = 0;
        for name in names {
            let written = name.replace(['[', ']'], "");
            written.parse::<AskedFault>().unwrap_or_else(|e| panic!("{written}: {e}"));
            seen += 1;
        }
        assert_eq!(seen, 13);
        let parse = |text: &str| text.parse::<AskedFault>();
        assert_eq!(parse("slow").unwrap().what, What::Harm(Harm::Slow(SLOW_MS), When::Permille(100)));
        assert_eq!(parse("jira:clock-skew=-90s").unwrap(), AskedFault { whose: Whose::Jira, what: What::ClockSkew(-90_000) });
        for wrong in ["sloow", "slow=10", "slow=101%", "search-lag", "moon:slow", "platform:html", "platform:refuse-reports=x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
