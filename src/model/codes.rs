//! Every code that a failing call or parked work may carry. Each has a page in docs/errors that says first whether a
//! ticket can be lost or doubled; a test compares this list with the pages and with what the code uses.

/// All of them, in order.
pub const CODES: [&str; 26] = [
    "E-ABANDONED",
    "E-AUTH",
    "E-BROKEN",
    "E-BUSY",
    "E-CONFIG",
    "E-CONNECT",
    "E-GONE",
    "E-GROUP",
    "E-KEY",
    "E-NOT-JSON",
    "E-OUTCOME",
    "E-PAGE",
    "E-REDIRECT",
    "E-REFUSED",
    "E-RIGHTS",
    "E-ROUTE",
    "E-SERVER",
    "E-SHAPE",
    "E-STATUS",
    "E-STOPPING",
    "E-TEMPLATE",
    "E-TICKET",
    "E-TIMEOUT",
    "E-TOO-LARGE",
    "E-TRANSITION",
    "E-UNSEARCHABLE",
];
