//! The evidence pack: for an auditor, who wanted, approved and did what, and when; what is wrong stands first.

use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::small::Small;
use crate::ledger::exports::{Apart, Checkpoint, Evidence, EvidenceRow, Proof, Seen};
use crate::model::Timestamp;
use crate::sheet::{Cell, Column, Document, Table, Unit};

/// Something an auditor must look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// The journal's chain does not hold: a row was changed, removed or put in.
    ChainBroken,
    /// Who approved it also carried it out.
    ApproverFulfilled,
    /// Who got the access carried it out.
    OwnAccess,
    /// Closed before the last approval.
    BeforeApproval,
    /// Somebody of the same name approved and carried it out: look whether it is the same person.
    SameNameFulfilled,
}

impl Violation {
    /// For people.
    #[must_use]
    pub fn human(self) -> &'static str {
        match self {
            Self::ChainBroken => "the journal was changed: its chain does not hold",
            Self::ApproverFulfilled => "approved and carried out by the same person",
            Self::OwnAccess => "carried out by the person whose access it is",
            Self::BeforeApproval => "closed before it was approved",
            Self::SameNameFulfilled => "approved and carried out by people of the same name: look whether it is one person",
        }
    }

    /// All that is wrong with an order.
    #[must_use]
    pub fn of(row: &EvidenceRow) -> Vec<Self> {
        let early = row.closed_at.zip(row.approved_at).is_some_and(|(closed, approved)| closed < approved);
        [
            (Self::ChainBroken, !row.chain_holds),
            (Self::ApproverFulfilled, row.approver_apart == Apart::No),
            (Self::OwnAccess, row.beneficiary_apart == Apart::No),
            (Self::BeforeApproval, early),
            (Self::SameNameFulfilled, row.approver_apart == Apart::SameName),
        ]
        .into_iter()
        .filter_map(|(violation, holds)| holds.then_some(violation))
        .collect()
    }
}

/// An order with what is wrong with it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Judged {
    /// The order.
    #[serde(flatten)]
    pub row: EvidenceRow,
    /// When the access was gone: of a fulfilled revocation, when it was closed.
    #[schema(value_type = Option<i64>)]
    pub removed_at: Option<Timestamp>,
    /// What is wrong; empty: nothing was found.
    pub violations: Vec<Violation>,
}

/// Evidence of the orders of a period, or of a single one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Pack {
    /// What it covers, for people.
    pub covers: String,
    /// As of.
    #[schema(value_type = i64)]
    pub as_of: Timestamp,
    /// How many orders.
    pub n: usize,
    /// How many of them something is wrong with.
    pub violations: usize,
    /// Of how many it is not known whether approver and fulfiller were different people.
    pub unchecked: usize,
    /// Chains that hold.
    pub chains_hold: usize,
    /// Orders of small admin groups that are not listed.
    pub left_out: usize,
    /// There are more orders: the period must be shorter to have all of them.
    pub more: bool,
    /// SHA-256 over id, length and last hash of every chain in it, in the order of ids: the same for the same journal.
    pub digest: String,
    /// The latest checkpoint of the whole journal.
    pub checkpoint: Option<Checkpoint>,
    /// The orders: those with something wrong first, then by closing.
    pub rows: Vec<Judged>,
}

impl Pack {
    /// Judges what the ledger has. With `small`, orders of small admin groups are left out: for whoever may not see persons.
    #[must_use]
    pub fn of(mut evidence: Evidence, small: Option<&Small>, covers: String, as_of: Timestamp) -> Self {
        let found = evidence.rows.len();
        evidence.rows.retain(|row| small.is_none_or(|small| small.lists(row.admin_group.as_deref().unwrap_or_default())));
        let left_out = found - evidence.rows.len();
        let digest = digest(&evidence.rows);
        let judged = evidence.rows.into_iter().map(|row| {
            let gone = row.revocation && matches!(row.outcome.as_deref(), Some("fulfilled" | "already_in_place"));
            Judged { violations: Violation::of(&row), removed_at: row.closed_at.filter(|_| gone), row }
        });
        let mut rows: Vec<Judged> = judged.collect();
        // What is worst stands first; what is fine keeps its order.
        rows.sort_by_key(|r| (r.violations.is_empty(), r.violations.first().copied()));
        let count = |holds: fn(&Judged) -> bool| rows.iter().filter(|r| holds(r)).count();
        Self {
            covers,
            as_of,
            n: rows.len(),
            violations: count(|r| !r.violations.is_empty()),
            unchecked: count(|r| r.row.closed_at.is_some() && r.row.approver_apart == Apart::Unknown),
            chains_hold: count(|r| r.row.chain_holds),
            left_out,
            more: evidence.more,
            digest,
            checkpoint: evidence.checkpoint,
            rows,
        }
    }

    /// The same as a document.
    #[must_use]
    pub fn document(&self) -> Document {
        let columns = COLUMNS.map(|(key, title, unit)| Column::new(key, title, unit)).to_vec();
        let rows = |wrong: bool| {
            let these = self.rows.iter().filter(move |r| r.violations.is_empty() != wrong);
            these.map(Judged::cells).collect::<Vec<_>>()
        };
        // One table for machines has all of it; what is wrong stands at its top, too.
        let all = rows(true).into_iter().chain(rows(false)).collect();
        let tables = vec![
            Table { name: "Orders".to_owned(), columns: columns.clone(), rows: all },
            Table { name: "To look at".to_owned(), columns, rows: rows(true) },
        ];
        let mut document = Document { title: "lastmile: evidence".to_owned(), tables, ..Document::default() };
        for (label, value) in self.facts() {
            document = document.about(label, value);
        }
        document
            .means("Approver and fulfiller", "platform and desk know people by ids of their own: an equal e-mail address, or an equal id, makes two of them one person")
            .means("Removed", "of a fulfilled revocation: when its ticket was closed, by the desk's clock")
            .means("Proof", "claimed: the ticket was closed; proven: the application's own evidence agreed")
            .means("Chain", "every step of an order is a row of the journal that holds the hash of the row before; the last hash stands for all of them")
            .means("Erased", "the name was erased when its time of retention was over")
    }

    /// What it covers and found.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("Covers", self.covers.clone()),
            ("As of", self.as_of.human()),
            ("Orders", self.n.to_string()),
            ("To look at", self.violations.to_string()),
            (
                "Approver and fulfiller not known to differ",
                format!("{} (the desk or the platform does not say enough, or the names are erased)", self.unchecked),
            ),
            ("Chains that hold", format!("{} of {}", self.chains_hold, self.n)),
            ("Digest of the chains", format!("SHA-256 {}", self.digest)),
        ];
        if let Some(checkpoint) = &self.checkpoint {
            facts.push(("Latest checkpoint of the journal", format!("{} at {}", checkpoint.head, checkpoint.at.human())));
        }
        if self.left_out > 0 {
            let words =
                format!("{} orders of small admin groups: so few people did them that single times are not shown", self.left_out);
            facts.push(("Left out", words));
        }
        if self.more {
            facts.push((
                "Not complete",
                format!("only the first {} orders are in it: choose a shorter period, or a file", self.n),
            ));
        }
        facts
    }
}

fn digest(rows: &[EvidenceRow]) -> String {
    let mut ends: Vec<(i64, i64, &str)> = rows.iter().map(|r| (r.id.0, r.chain_rows, r.chain_head.as_str())).collect();
    ends.sort_unstable();
    let mut hash = Sha256::new();
    for (id, rows, head) in ends {
        hash.update(id.to_le_bytes());
        hash.update(rows.to_le_bytes());
        hash.update(head.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// A person for people.
#[must_use]
pub fn seen(person: &Seen) -> &str {
    match person {
        Seen::Named(name) => name,
        Seen::Hidden => "(not shown to you)",
        Seen::Erased => "(erased)",
        Seen::Nobody => "",
    }
}

/// Whether two roles were filled by different people, for people.
#[must_use]
pub fn apart(apart: Apart) -> &'static str {
    match apart {
        Apart::Yes => "different people",
        Apart::No => "SAME PERSON",
        Apart::SameName => "same name",
        Apart::Unknown => "not known",
    }
}

const COLUMNS: [(&str, &str, Unit); 28] = [
    ("violations", "To look at", Unit::Text),
    ("person", "Person", Unit::Text),
    ("system", "System", Unit::Text),
    ("system_id", "System id", Unit::Text),
    ("entitlement", "Entitlement", Unit::Text),
    ("operation", "Operation", Unit::Text),
    ("requested_by", "Requested by", Unit::Text),
    ("requested_at", "Requested", Unit::Instant),
    ("approved_by", "Approved by", Unit::Text),
    ("approved_at", "Approved", Unit::Instant),
    ("valid_from", "To hold from", Unit::Instant),
    ("fulfilled_by", "Fulfilled by", Unit::Text),
    ("admin_group", "Admin group", Unit::Text),
    ("filed_at", "Ticket filed", Unit::Instant),
    ("closed_at", "Closed", Unit::Instant),
    ("removed_at", "Removed", Unit::Instant),
    ("ticket", "Ticket", Unit::Text),
    ("ticket_url", "Ticket address", Unit::Text),
    ("key", "Key in the ticket", Unit::Text),
    ("outcome", "Outcome", Unit::Text),
    ("proof", "Proof", Unit::Text),
    ("proven_at", "Proven", Unit::Instant),
    ("reported_at", "Reported", Unit::Instant),
    ("approver_fulfiller", "Approver and fulfiller", Unit::Text),
    ("order", "Order", Unit::Text),
    ("assignment", "Assignment", Unit::Text),
    ("chain", "Chain", Unit::Text),
    ("chain_head", "Last hash of its chain", Unit::Text),
];

impl Judged {
    fn cells(&self) -> Vec<Cell> {
        let row = &self.row;
        let approvers: Vec<&str> = row.approvers.iter().map(seen).collect();
        let violations: Vec<&str> = self.violations.iter().map(|v| v.human()).collect();
        let proof = row.proof.map(|proof| match proof {
            Proof::Claimed => "claimed",
            Proof::Proven => "proven",
        });
        vec![
            violations.join("; ").into(),
            seen(&row.beneficiary).into(),
            row.application_name.clone().into(),
            row.application_id.clone().into(),
            row.entitlement.clone().into(),
            row.operation.clone().into(),
            seen(&row.requester).into(),
            row.requested_at.into(),
            approvers.join(", ").into(),
            row.approved_at.into(),
            row.valid_from.into(),
            seen(&row.fulfilled_by).into(),
            row.admin_group.clone().into(),
            row.filed_at.into(),
            row.closed_at.into(),
            self.removed_at.into(),
            row.ticket.clone().into(),
            row.ticket_url.clone().into(),
            row.key.clone().into(),
            row.outcome.clone().unwrap_or_else(|| row.state.clone()).into(),
            proof.into(),
            row.proven_at.into(),
            row.reported_at.into(),
            apart(row.approver_apart).into(),
            row.external_id.clone().into(),
            row.id.to_string().into(),
            if row.chain_holds { format!("holds, {} rows", row.chain_rows) } else { "BROKEN".to_owned() }.into(),
            row.chain_head.clone().into(),
        ]
    }
}
