//! Faults that every fake platform with a list can have; switched while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Something that happens to the lists between two of their pages.
type Between<S> = Box<dyn FnOnce(&S) + Send>;

/// Declared faults of a fake over a state `S`.
pub struct ListFaults<S> {
    /// Every call is answered 503, as while the platform is away.
    pub away: AtomicBool,
    /// The list page of this number (counted over all pages since it was set, from 1) is cut in the middle; 0: none.
    pub cut_page: AtomicU64,
    /// The next so many outcomes are refused with an error of the platform's own.
    pub refuse: AtomicU64,
    /// The next so many outcomes are taken, but answered 500 without a word.
    pub forget_answers: AtomicU64,
    pages: AtomicU64,
    between: Mutex<Option<Between<S>>>,
}

impl<S> Default for ListFaults<S> {
    fn default() -> Self {
        Self {
            away: AtomicBool::default(),
            cut_page: AtomicU64::default(),
            refuse: AtomicU64::default(),
            forget_answers: AtomicU64::default(),
            pages: AtomicU64::default(),
            between: Mutex::default(),
        }
    }
}

impl<S> std::fmt::Debug for ListFaults<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListFaults")
    }
}

impl<S> ListFaults<S> {
    /// Cuts the n-th list page from now on.
    pub fn cut(&self, page: u64) {
        self.pages.store(0, Ordering::SeqCst);
        self.cut_page.store(page, Ordering::SeqCst);
    }

    /// This happens once, after the next list page was given.
    pub fn after_next_page(&self, happens: impl FnOnce(&S) + Send + 'static) {
        *self.between.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(happens));
    }

    /// A list page's text, or the half of it; then whatever shall happen between two pages.
    pub(super) fn page(&self, body: &Value, state: &S) -> String {
        let number = self.pages.fetch_add(1, Ordering::SeqCst) + 1;
        let mut text = body.to_string();
        if self.cut_page.load(Ordering::SeqCst) == number {
            text.truncate(text.floor_char_boundary(text.len() / 2));
        }
        let happens = self.between.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(happens) = happens {
            happens(state);
        }
        text
    }
}
