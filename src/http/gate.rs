//! The last question before the first byte: may this call still be sent? Between a lease and its call lie waits for a
//! slot and for a rate that whoever makes the call cannot see: the client itself asks. And what a call is told on the way,
//! "slow down", is heard here whatever becomes of its error.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use super::verdict::CallError;

/// Code of a call that was held back: nothing of it was sent.
pub const HELD: &str = "E-HELD";

thread_local! {
    /// The answer for the future being polled; asked anew at each poll, so that it is never older than that.
    static ANSWER: RefCell<Result<(), CallError>> = const { RefCell::new(Ok(())) };
    /// "Slow down", heard by the future being polled, and for how long where that was said.
    static BUSY: Cell<Option<Option<Duration>>> = const { Cell::new(None) };
}

/// What stood there before is there again when it goes, also after a panic.
struct Outer(Result<(), CallError>, Option<Option<Duration>>);

impl Drop for Outer {
    fn drop(&mut self) {
        ANSWER.set(std::mem::replace(&mut self.0, Ok(())));
        // What was heard within is heard outside, too.
        BUSY.set(self.1.max(BUSY.get()));
    }
}

/// Carries calls out under a gate: requests that would start while `ask` objects fail with its objection instead, which is
/// told to people. Where the other side says "slow down", `heard` hears it, and how long. One gate may stand in another.
pub async fn watched<F: Future>(
    ask: impl Fn() -> Result<(), CallError>,
    heard: impl Fn(Option<Duration>),
    calls: F,
) -> F::Output {
    let mut calls = pin!(calls);
    poll_fn(|context| {
        let answer = ask().and_then(|()| ANSWER.with_borrow(Clone::clone));
        let _outer = Outer(ANSWER.replace(answer), BUSY.take());
        let polled = calls.as_mut().poll(context);
        if let Some(asked) = BUSY.get() {
            heard(asked);
        }
        polled
    })
    .await
}

/// An objection to a call that has not begun.
pub fn held(objection: impl Into<String>) -> CallError {
    CallError::retry(HELD, objection)
}

/// Whether the call being made may start now.
pub(super) fn may_send() -> Result<(), CallError> {
    ANSWER.with_borrow(Clone::clone)
}

/// The other side of the call being made said "slow down".
pub(super) fn busy(asked: Option<Duration>) {
    BUSY.set(BUSY.get().max(Some(asked)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn the_gate_is_asked_when_the_call_starts_not_when_it_was_planned() {
        let closed = AtomicBool::new(false);
        let ask = || if closed.load(Ordering::SeqCst) { Err(held("too late")) } else { Ok(()) };
        let call = async {
            let first = may_send();
            closed.store(true, Ordering::SeqCst);
            tokio::task::yield_now().await;
            (first, may_send())
        };
        let (first, second) = watched(ask, |_| (), call).await;
        assert_eq!(first, Ok(()));
        assert_eq!(second.map_err(|e| e.code()), Err(HELD));
        assert_eq!(may_send(), Ok(()), "nobody else is held back");
    }

    #[tokio::test]
    async fn a_gate_within_another_lets_nothing_through_that_the_other_holds_back_and_both_hear() {
        let (inner, outer) = (Cell::new(None), Cell::new(None));
        let call = async {
            let answer = may_send();
            busy(None);
            busy(Some(Duration::from_secs(7)));
            busy(Some(Duration::from_secs(5)));
            answer
        };
        let within = watched(|| Ok(()), |asked| inner.set(asked), call);
        let answer = watched(|| Err(held("not now")), |asked| outer.set(asked), within).await;
        assert_eq!(answer, Err(held("not now")));
        assert_eq!((inner.get(), outer.get()), (Some(Duration::from_secs(7)), Some(Duration::from_secs(7))));
        let unheard = Cell::new(true);
        watched(|| Ok(()), |_| unheard.set(false), async {}).await;
        assert!(unheard.get(), "another call heard nothing");
    }

    #[tokio::test]
    async fn a_call_that_panics_leaves_no_gate_behind() {
        use futures_util::FutureExt as _;
        let call = watched(|| Err(held("not now")), |_| (), async { panic!("a defect") });
        assert!(std::panic::AssertUnwindSafe(call).catch_unwind().await.is_err());
        assert_eq!(may_send(), Ok(()));
    }
}
