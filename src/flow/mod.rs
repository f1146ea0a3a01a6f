//! The stages. They meet only in the ledger; each is a step function that `runtime/` loops and tests call.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::desk::Desk;
use crate::source::Source;

/// Everything one checked catalog makes: swapped whole when the configuration changes.
#[derive(Debug)]
pub struct Setup {
    /// The catalog itself.
    pub catalog: Arc<Catalog>,
    /// Sources by name.
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    /// Desks by name.
    pub desks: BTreeMap<String, Arc<dyn Desk>>,
}
