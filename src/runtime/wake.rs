//! What makes a loop look before its nap is over.

use std::sync::Arc;

use futures_util::future::select_all;
use tokio::sync::watch;

/// Wakes loops. A hint and never needed; one that comes while a loop is at work makes it look once more.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    pub(super) orders: Arc<watch::Sender<()>>,
    pub(super) errands: Arc<watch::Sender<()>>,
}

impl Wake {
    /// Orders arrived, or may be planned now.
    pub fn orders(&self) {
        self.orders.send_replace(());
    }

    /// Calls outward are due.
    pub fn errands(&self) {
        self.errands.send_replace(());
    }

    /// Anything may have happened.
    pub fn all(&self) {
        self.orders();
        self.errands();
    }

    pub(super) fn listen(&self, to: Listen) -> Bells {
        match to {
            Listen::Orders => Bells(vec![self.orders.subscribe()]),
            Listen::Both => Bells(vec![self.orders.subscribe(), self.errands.subscribe()]),
            Listen::Errands => Bells(vec![self.errands.subscribe()]),
            Listen::Time => Bells(Vec::new()),
        }
    }
}

/// What wakes a loop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listen {
    Orders,
    Errands,
    /// Orders and errands.
    Both,
    /// Nothing but the time: what it asks of the outside is paced.
    Time,
}

pub(super) struct Bells(Vec<watch::Receiver<()>>);

impl Bells {
    /// What rings from here on makes the next nap short.
    pub(super) fn hush(&mut self) {
        self.0.iter_mut().for_each(watch::Receiver::mark_unchanged);
    }

    /// Until one of them rings.
    pub(super) async fn rung(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let ringing = self.0.iter_mut().map(|bell| Box::pin(bell.changed()));
        // A bell that is gone never rings.
        if select_all(ringing).await.0.is_err() {
            std::future::pending().await
        }
    }
}
