//! Whose time it was: the life of one assignment cut into spans that each have one owner, without gap or overlap.

use serde::Serialize;

use crate::model::Timestamp;

/// What a span of time was spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Asked for, not approved yet.
    Approval,
    /// Approved for a later date: nobody's time.
    FutureDate,
    /// The admins could begin, but the order had not arrived here.
    Arrival,
    /// The ticket is to be filed.
    Filing,
    /// The ticket waits for somebody to begin.
    Queue,
    /// Somebody works on the ticket, or it is not known when they began.
    Work,
    /// The ticket waits for the requester: the clock stands still.
    Paused,
    /// Closed; the platform is being told.
    Reporting,
    /// Reported; until the application itself showed it.
    Proof,
}

/// A span of an assignment's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Spent on.
    pub part: Part,
    /// From when.
    pub from: Timestamp,
    /// Until when (now, while it runs).
    pub to: Timestamp,
    /// It still runs.
    pub running: bool,
}

/// The instants that cut a life.
#[derive(Debug, Clone, Copy, Default)]
pub struct Instants {
    /// Asked for.
    pub requested: Option<Timestamp>,
    /// Last approval.
    pub approved: Option<Timestamp>,
    /// Arrived here.
    pub received: Timestamp,
    /// The admin group's clock started.
    pub eligible: Option<Timestamp>,
    /// Ticket created.
    pub filed: Option<Timestamp>,
    /// Work began.
    pub first_work: Option<Timestamp>,
    /// Ticket closed.
    pub closed: Option<Timestamp>,
    /// The platform has the outcome.
    pub reported: Option<Timestamp>,
    /// The application itself showed it.
    pub proven: Option<Timestamp>,
    /// Nothing more will happen.
    pub finished: bool,
}

/// From when, and until when; none while it lasts.
pub type Pause = (Timestamp, Option<Timestamp>);

/// The spans in order; pauses are cut out of filing, queue and work. Clocks of several parties meet here: what lies before its predecessor counts as no time at all.
#[must_use]
pub fn segments(of: &Instants, pauses: &[Pause], now: Timestamp) -> Vec<Segment> {
    let cut = |span: Segment| {
        if matches!(span.part, Part::Filing | Part::Queue | Part::Work) { paused(&span, pauses) } else { vec![span] }
    };
    spans(of, now).into_iter().flat_map(cut).collect()
}

/// A span with its pauses cut out.
fn paused(span: &Segment, pauses: &[Pause]) -> Vec<Segment> {
    let (mut parts, mut at) = (Vec::new(), span.from);
    for (from, until) in pauses {
        let (from, until) = ((*from).max(at), until.unwrap_or(span.to).min(span.to));
        if from >= until {
            continue;
        }
        if at < from {
            parts.push(Segment { from: at, to: from, running: false, ..*span });
        }
        parts.push(Segment { part: Part::Paused, from, to: until, running: span.running && until == span.to });
        at = until;
    }
    if at < span.to {
        parts.push(Segment { from: at, ..*span });
    }
    parts
}

fn spans(of: &Instants, now: Timestamp) -> Vec<Segment> {
    let approved = of.approved.unwrap_or(of.received);
    let eligible = of.eligible.unwrap_or(approved);
    // A ticket filed ahead of its date changes nothing for the admin group's clock.
    let began = of.first_work.or(of.closed);
    let ends = [
        (Part::Approval, Some(approved)),
        (Part::FutureDate, Some(eligible)),
        (Part::Arrival, Some(of.received)),
        (Part::Filing, of.filed.or(of.closed)),
        (Part::Queue, if of.first_work.is_some() { began } else { of.filed.or(of.closed).filter(|_| of.closed.is_some()) }),
        (Part::Work, of.closed),
        (Part::Reporting, of.reported),
        (Part::Proof, of.proven),
    ];
    let mut at = of.requested.unwrap_or(approved);
    let mut spans = Vec::new();
    for (part, end) in ends {
        let until = match (part, end, of.closed) {
            (Part::Reporting | Part::Proof, end, _) => end,
            (_, Some(end), Some(closed)) => Some(end.min(closed)),
            (_, end, _) => end,
        };
        match until {
            Some(until) if until <= now => {
                if until > at {
                    spans.push(Segment { part, from: at, to: until, running: false });
                    at = until;
                }
            }
            // still running, or ending in the future as far as is known
            _ => {
                if !of.finished && now > at {
                    spans.push(Segment { part, from: at, to: now, running: true });
                }
                return spans;
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: fn(i64) -> Timestamp = Timestamp;

    fn parts(of: &Instants, now: i64) -> Vec<(Part, i64, bool)> {
        segments(of, &[], T(now)).into_iter().map(|s| (s.part, s.to.ms_since(s.from), s.running)).collect()
    }

    #[test]
    fn each_span_has_one_owner() {
        let whole = Instants {
            requested: Some(T(0)),
            approved: Some(T(10)),
            received: T(31),
            eligible: Some(T(30)),
            filed: Some(T(32)),
            first_work: Some(T(40)),
            closed: Some(T(70)),
            reported: Some(T(75)),
            proven: Some(T(90)),
            finished: true,
        };
        let told = [
            (Part::Approval, 10, false),
            (Part::FutureDate, 20, false),
            (Part::Arrival, 1, false),
            (Part::Filing, 1, false),
            (Part::Queue, 8, false),
            (Part::Work, 30, false),
            (Part::Reporting, 5, false),
            (Part::Proof, 15, false),
        ];
        assert_eq!(parts(&whole, 100), told);
        let open = Instants { first_work: None, closed: None, reported: None, proven: None, finished: false, ..whole };
        assert_eq!(parts(&open, 60).last(), Some(&(Part::Queue, 28, true)));
        assert_eq!(parts(&Instants { filed: Some(T(12)), ..open }, 20).last(), Some(&(Part::FutureDate, 10, true)));
        let begun = Instants { first_work: Some(T(40)), ..open };
        assert_eq!(parts(&begun, 60).last(), Some(&(Part::Work, 20, true)));
        let unknown_start = Instants { first_work: None, ..whole };
        assert_eq!(parts(&unknown_start, 100)[4], (Part::Work, 38, false));
        let pauses = [(T(35), Some(T(42))), (T(60), None)];
        let told: Vec<_> = segments(&begun, &pauses, T(66)).iter().map(|s| (s.part, s.from.0, s.to.0, s.running)).collect();
        assert_eq!(
            told[4..],
            [
                (Part::Queue, 32, 35, false),
                (Part::Paused, 35, 40, false),
                (Part::Paused, 40, 42, false),
                (Part::Work, 42, 60, false),
                (Part::Paused, 60, 66, true),
            ]
        );
    }

    proptest! {
        #[test]
        fn spans_touch_and_never_overlap(
            requested in proptest::option::of(0i64..100), approved in proptest::option::of(0i64..100), received in 0i64..100,
            eligible in proptest::option::of(0i64..100), filed in proptest::option::of(0i64..100),
            first_work in proptest::option::of(0i64..100), closed in proptest::option::of(0i64..100),
            reported in proptest::option::of(0i64..100), proven in proptest::option::of(0i64..100), finished: bool, now in 0i64..120, mut pauses in proptest::collection::vec(0i64..100, 0..6),
        ) {
            let t = |v: Option<i64>| v.map(Timestamp);
            let of = Instants {
                requested: t(requested), approved: t(approved), received: T(received), eligible: t(eligible), filed: t(filed),
                first_work: t(first_work), closed: t(closed), reported: t(reported), proven: t(proven), finished,
            };
            pauses.sort_unstable();
            let pauses: Vec<Pause> = pauses.chunks(2).map(|p| (T(p[0]), p.get(1).map(|t| T(*t)))).collect();
            let spans = segments(&of, &pauses, T(now));
            let whole = segments(&of, &[], T(now));
            prop_assert_eq!(whole.first().map(|s| s.from), spans.first().map(|s| s.from));
            prop_assert_eq!(whole.last().map(|s| (s.to, s.running)), spans.last().map(|s| (s.to, s.running)));
            prop_assert!(spans.windows(2).all(|w| w[0].to == w[1].from));
            prop_assert!(spans.iter().all(|s| s.from < s.to && s.to <= T(now)));
            prop_assert!(spans.iter().rev().skip(1).all(|s| !s.running));
        }
    }
}
