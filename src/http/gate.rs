//! The last question before the first byte: may this call still be sent? Between a lease and its call lie waits for a
//! slot and for a rate that whoever makes the call cannot see: the client itself asks.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;

use super::verdict::CallError;

/// Code of a call that was held back: nothing of it was sent.
pub const HELD: &str = "E-HELD";

thread_local! {
    /// The answer for the future being polled; asked anew at each poll, so that it is never older than that.
    static ANSWER: RefCell<Result<(), String>> = const { RefCell::new(Ok(())) };
}

/// Carries a call out under a gate: requests that would start while `ask` objects fail with [`HELD`] instead. The
/// objection is told to people.
pub async fn watched<F: Future>(ask: impl Fn() -> Result<(), String>, call: F) -> F::Output {
    let mut call = pin!(call);
    poll_fn(|context| {
        let outer = ANSWER.replace(ask());
        let polled = call.as_mut().poll(context);
        ANSWER.set(outer);
        polled
    })
    .await
}

/// Whether the call being made may start now.
pub(super) fn may_send() -> Result<(), CallError> {
    ANSWER.with_borrow(|answer| match answer {
        Ok(()) => Ok(()),
        Err(objection) => Err(CallError::retry(HELD, objection.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn the_gate_is_asked_when_the_call_starts_not_when_it_was_planned() {
        let closed = AtomicBool::new(false);
        let ask = || if closed.load(Ordering::SeqCst) { Err("too late".to_owned()) } else { Ok(()) };
        let call = async {
            let first = may_send();
            closed.store(true, Ordering::SeqCst);
            tokio::task::yield_now().await;
            (first, may_send())
        };
        let (first, second) = watched(ask, call).await;
        assert_eq!(first, Ok(()));
        assert_eq!(second.map_err(|e| e.code()), Err(HELD));
        assert_eq!(may_send(), Ok(()), "nobody else is held back");
    }
}
