//! Places where a process may die, for trials: before and after whatever becomes durable or leaves the house. One line in
//! the code per place. In a release build nothing is left of them.

/// A place where a process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// An event was verified, nothing of it is recorded.
    IntakeStarts,
    /// An event is recorded; its sender has heard nothing.
    IntakeRecorded,
    /// A list was read, nothing of it is recorded.
    PollRead,
    /// What was read is recorded with its cursor.
    PollRecorded,
    /// Orders were planned, not recorded.
    PlanMade,
    /// Their tickets are drafted.
    PlanRecorded,
    /// Before a desk's errands are leased.
    DispatchStarts,
    /// Leased for a desk, attempt on disk, nothing sent.
    DispatchLeased,
    /// A desk's call has ended, unsettled.
    DispatchSettles,
    /// A desk's call is settled.
    DispatchSettled,
    /// Before a platform's reports are leased.
    CompleteStarts,
    /// Leased for a platform.
    CompleteLeased,
    /// The platform was told, unsettled.
    CompleteSettles,
    /// The report is settled.
    CompleteSettled,
    /// What a desk says was read, not recorded.
    SyncRead,
    /// It is recorded.
    SyncRecorded,
    /// A transaction is written, not committed.
    CommitBegins,
    /// It is committed; nobody was told.
    Committed,
    /// Before the first byte of a call outward.
    CallStarts,
    /// The answer has begun: the other side has done it.
    AnswerBegins,
    /// The whole answer is read.
    AnswerEnds,
}

impl Point {
    /// All of them, in the order of an order's way.
    pub const ALL: [Self; 21] = [
        Self::IntakeStarts,
        Self::IntakeRecorded,
        Self::PollRead,
        Self::PollRecorded,
        Self::PlanMade,
        Self::PlanRecorded,
        Self::DispatchStarts,
        Self::DispatchLeased,
        Self::DispatchSettles,
        Self::DispatchSettled,
        Self::CompleteStarts,
        Self::CompleteLeased,
        Self::CompleteSettles,
        Self::CompleteSettled,
        Self::SyncRead,
        Self::SyncRecorded,
        Self::CommitBegins,
        Self::Committed,
        Self::CallStarts,
        Self::AnswerBegins,
        Self::AnswerEnds,
    ];
}

#[cfg(debug_assertions)]
pub use armed::{Death, abort_at, life, reach};

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub async fn reach(_: Point) {}

#[cfg(debug_assertions)]
mod armed {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::pin::pin;
    use std::str::FromStr;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, OnceLock};

    use futures_util::future::{Either, select};
    use tokio::sync::Notify;

    use super::Point;

    /// Where, and at which time of passing there.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Death {
        /// Where.
        pub at: Point,
        /// 1: the first time.
        pub nth: u32,
    }

    /// `DispatchSettles:3`.
    impl FromStr for Death {
        type Err = String;

        fn from_str(text: &str) -> Result<Self, String> {
            let (name, nth) = text.split_once(':').unwrap_or((text, "1"));
            let at = Point::ALL.into_iter().find(|p| format!("{p:?}") == name);
            let at = at.ok_or_else(|| format!("there is no failpoint `{name}`; there are {:?}", Point::ALL))?;
            Ok(Self { at, nth: nth.parse().map_err(|_| format!("`{nth}` is not a number"))? })
        }
    }

    /// The life of a bridge on this thread.
    struct Life {
        death: Option<Death>,
        passed: BTreeMap<Point, u32>,
        died: Arc<Notify>,
    }

    thread_local! {
        static LIFE: RefCell<Option<Life>> = const { RefCell::new(None) };
    }

    /// Where this process aborts, and how often it still passes there.
    static ABORT: OnceLock<(Point, AtomicU32)> = OnceLock::new();

    /// This process ends there as by `kill -9`.
    pub fn abort_at(death: Death) {
        drop(ABORT.set((death.at, AtomicU32::new(death.nth))));
    }

    /// Whoever passes may die here.
    pub async fn reach(point: Point) {
        if let Some((at, left)) = ABORT.get()
            && *at == point
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
        let dies = LIFE.with_borrow_mut(|life| {
            let life = life.as_mut()?;
            let passed = life.passed.entry(point).or_default();
            *passed += 1;
            (life.death == Some(Death { at: point, nth: *passed })).then(|| Arc::clone(&life.died))
        });
        if let Some(died) = dies {
            died.notify_one();
            std::future::pending().await
        }
    }

    /// Runs a life on this thread, to its end or to its death (then `None`). The caller must throw the thread's whole
    /// runtime away afterwards: what the life had spawned is dead, too. Gives how often it passed each point.
    pub async fn life<F: Future>(death: Option<Death>, work: F) -> (Option<F::Output>, BTreeMap<Point, u32>) {
        let died = Arc::new(Notify::new());
        LIFE.set(Some(Life { death, passed: BTreeMap::new(), died: Arc::clone(&died) }));
        let outcome = match select(pin!(work), pin!(died.notified())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        };
        let life = LIFE.take();
        (outcome, life.map(|l| l.passed).unwrap_or_default())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[tokio::test(flavor = "current_thread")]
        async fn a_life_ends_where_it_was_told_to_and_nowhere_else() {
            let work = async || {
                for _ in 0..3 {
                    reach(Point::CallStarts).await;
                }
                tokio::spawn(reach(Point::Committed)).await.unwrap();
                7
            };
            let (lived, passed) = life(None, work()).await;
            assert_eq!((lived, passed), (Some(7), BTreeMap::from([(Point::Committed, 1), (Point::CallStarts, 3)])));
            let (died, passed) = life(Some("CallStarts:2".parse().unwrap()), work()).await;
            assert_eq!((died, passed), (None, BTreeMap::from([(Point::CallStarts, 2)])));
            let (died, _) = life(Some(Death { at: Point::Committed, nth: 1 }), work()).await;
            assert_eq!(died, None, "a task of its own dies with it");
            assert!("Nowhere".parse::<Death>().is_err() && "CallStarts:x".parse::<Death>().is_err());
        }
    }
}
