//! A made-up company: its applications, entitlements, people, and the orders they place. Everything follows from a
//! seed and a number, so that a run can be repeated.

use serde_json::{Value, json};

use crate::model::{Person, Timestamp};

/// An application of the company.
#[derive(Debug, Clone, Copy)]
pub struct App {
    /// The platform's id.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// Entitlements: id and name.
    pub entitlements: &'static [(&'static str, &'static str)],
    /// How often it is ordered, compared with the others.
    pub weight: u64,
    /// Working hours its admins usually need.
    pub hours: u64,
    /// On the second desk (`ServiceNow`) instead of the first (Jira).
    pub on_servicenow: bool,
}

macro_rules! app {
    ($id:literal, $name:literal, $weight:literal, $hours:literal, $servicenow:literal, $($ent:literal = $title:literal),+) => {
        App { id: $id, name: $name, entitlements: &[$(($ent, $title)),+], weight: $weight, hours: $hours, on_servicenow: $servicenow }
    };
}

/// The applications whose access is granted by hand.
pub const APPS: [App; 12] = [
    app!(
        "sap-erp",
        "SAP ERP",
        18,
        6,
        true,
        "Z_BUYER" = "Buyer",
        "Z_FI_CLERK" = "Accounts payable clerk",
        "Z_FI_APPROVER" = "Payment approver",
        "Z_HR_DISPLAY" = "HR display"
    ),
    app!(
        "salesforce",
        "Salesforce",
        14,
        3,
        false,
        "sales-user" = "Sales user",
        "sales-manager" = "Sales manager",
        "service-agent" = "Service agent"
    ),
    app!(
        "lims",
        "Laboratory information system",
        8,
        14,
        false,
        "analyst" = "Analyst",
        "reviewer" = "Reviewer",
        "method-editor" = "Method editor"
    ),
    app!(
        "badge",
        "Badge access",
        12,
        2,
        true,
        "hq-ground" = "Headquarters, ground floor",
        "hq-datacentre" = "Headquarters, data centre",
        "plant-2" = "Plant 2"
    ),
    app!(
        "file-shares",
        "File shares",
        16,
        4,
        true,
        "fin-read" = "Finance (read)",
        "fin-write" = "Finance (write)",
        "legal-read" = "Legal (read)"
    ),
    app!("erp-archive", "Archive of the old ERP", 3, 30, false, "reader" = "Reader"),
    app!(
        "mes",
        "Manufacturing execution",
        7,
        10,
        false,
        "operator" = "Operator",
        "shift-lead" = "Shift lead",
        "recipe-admin" = "Recipe administrator"
    ),
    app!("treasury", "Treasury workstation", 3, 20, true, "trader" = "Trader", "back-office" = "Back office"),
    app!("code-hosting", "Code hosting", 9, 2, false, "developer" = "Developer", "maintainer" = "Maintainer"),
    app!("data-warehouse", "Data warehouse", 8, 8, false, "analyst" = "Analyst", "pii-reader" = "Reader of personal data"),
    app!("travel", "Travel booking", 6, 5, true, "traveller" = "Traveller", "arranger" = "Travel arranger"),
    app!("mainframe", "Mainframe", 4, 40, true, "tso" = "TSO logon", "batch" = "Batch operator"),
];

const FIRST: [&str; 20] = [
    "Amara", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hana", "Ivo", "Jana", "Kofi", "Lena", "Mateo", "Nadia",
    "Oskar", "Priya", "Quirin", "Rosa", "Samir", "Tove",
];
const LAST: [&str; 20] = [
    "Adler",
    "Bianchi",
    "Costa",
    "Dvorak",
    "Eriksen",
    "Fontaine",
    "Grau",
    "Haddad",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Novak",
    "Okafor",
    "Petrov",
    "Quist",
    "Romero",
    "Sato",
    "Tanaka",
];
const DEPARTMENTS: [&str; 8] =
    ["Purchasing", "Finance", "Sales", "Laboratory", "Production", "Human Resources", "Logistics", "Engineering"];
const SITES: [&str; 4] = ["Hamburg", "Lyon", "Pune", "Austin"];
const REASONS: [&str; 8] = [
    "New in the team, takes over from a colleague",
    "Needed for the year-end closing",
    "Project work until the end of the quarter",
    "Change of department",
    "Stand-in during parental leave",
    "External auditor, read only please",
    "Works the night shift from next week",
    "Was forgotten in the first order",
];

/// A row of well-spread numbers from a seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The row of the n-th thing of a seed.
    #[must_use]
    pub fn of(seed: u64, n: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n.wrapping_mul(0xd134_2543_de82_ef95));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// 0 … n-1; 0 for an empty range.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }

    /// One of a list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        &list[index]
    }

    /// `from` … `to`-1 as a signed number.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from.saturating_add_unsigned(self.below(to.saturating_sub(from).unsigned_abs()))
    }

    /// An application, by weight.
    pub fn app(&mut self) -> &'static App {
        let mut left = self.below(APPS.iter().map(|a| a.weight).sum());
        for app in &APPS {
            if left < app.weight {
                return app;
            }
            left -= app.weight;
        }
        &APPS[0]
    }
}

/// The n-th person of the company.
#[must_use]
pub fn person(n: u64) -> Value {
    let mut dice = Dice::of(0x7065_6f70_6c65, n);
    let (first, last) = (*dice.pick(&FIRST), *dice.pick(&LAST));
    json!({
        "id": format!("P{:05}", 10_000 + n),
        "name": format!("{first} {last}"),
        "email": format!("{}.{}{n}@company.example", first.to_lowercase(), last.to_lowercase()),
        "department": *dice.pick(&DEPARTMENTS),
        "site": *dice.pick(&SITES),
    })
}

/// Applications that the platform reads every night: there it sees what its orders became.
pub const READ_BACK: [&str; 6] = ["salesforce", "file-shares", "badge", "lims", "code-hosting", "data-warehouse"];

/// The n-th admin of an application, as the desks know them.
#[must_use]
pub fn admin(app: &App, n: u64) -> Person {
    let place = APPS.iter().position(|other| other.id == app.id).unwrap_or(0) as u64;
    let person = person(460 + place * 3 + n % 3);
    let text = |field: &str| person[field].as_str().map(str::to_owned);
    let mail = text("email");
    let id = mail.as_deref().and_then(|mail| mail.split('@').next()).unwrap_or("admin").to_owned();
    Person { id, name: text("name"), email: mail }
}

/// The orders of the n-th leaving of a seed: somebody's account is closed on one application, and everything else that
/// they had is taken back. `name` tells them from all other orders.
#[must_use]
pub fn leaving(seed: u64, n: u64, name: &str, approved: Timestamp) -> Vec<Value> {
    let mut dice = Dice::of(seed ^ 0x006c_6561_7665, n);
    let (who, hr, first) = (person(dice.below(400)), person(452 + dice.below(4)), dice.below(12));
    let orders = 2 + dice.below(3);
    (0..orders)
        .map(|i| {
            // Five and twelve have no divisor in common: each application once.
            let app = &APPS[usize::try_from((first + i * 5) % 12).unwrap_or(0)];
            let (entitlement, title) = *dice.pick(app.entitlements);
            let mut document = order(seed, n * 8 + i, approved);
            document["id"] = json!(format!("{name}-{}", i + 1));
            document["operation"] = json!(if i == 0 { "disable" } else { "remove" });
            document["application"] = json!({"id": app.id, "name": app.name});
            document["entitlement"] = json!((i > 0).then(|| json!({"id": entitlement, "name": title})));
            document["account"] = json!(who["id"].as_str().map(str::to_lowercase));
            document["beneficiary"] = who.clone();
            document["requester"] = hr.clone();
            document["approvals"] = json!([{"approver": hr, "decidedAt": approved.iso()}]);
            for date in ["validFrom", "validUntil"] {
                document[date] = Value::Null;
            }
            document["urgency"] = json!("P1");
            document["justification"] = json!("Leaves the company");
            document
        })
        .collect()
}

/// The n-th order of a seed as the platform writes it, approved at `approved`. Some are revocations (a leaver loses
/// an application), some lie in the future, some are urgent.
#[must_use]
pub fn order(seed: u64, n: u64, approved: Timestamp) -> Value {
    const HOUR: i64 = 3_600_000;
    let mut dice = Dice::of(seed, n);
    let app = dice.app();
    let (entitlement, title) = *dice.pick(app.entitlements);
    let beneficiary = person(dice.below(400));
    let manager = person(400 + dice.below(40));
    let owner = person(440 + dice.below(12));
    let leaver = dice.percent(9);
    let operation = match dice.below(100) {
        _ if leaver => "remove",
        0..=64 => "add",
        65..=84 => "remove",
        85..=94 => "change",
        _ => "create_account",
    };
    let requested = approved.plus_ms(-HOUR * dice.between(1, 60));
    let manager_decided = requested.plus_ms(approved.ms_since(requested) / 2);
    let future = !leaver && dice.percent(22);
    let valid_from = future.then(|| approved.plus_ms(24 * HOUR * dice.between(2, 30)).iso());
    let valid_until = (operation == "add" && dice.percent(15)).then(|| approved.plus_ms(24 * HOUR * dice.between(60, 200)).iso());
    json!({
        "id": format!("REQ-{n:06}"),
        "round": 1,
        "operation": operation,
        "status": "approved",
        "application": {"id": app.id, "name": app.name},
        "entitlement": (operation != "create_account").then(|| json!({"id": entitlement, "name": title})),
        "account": beneficiary["id"].as_str().map(str::to_lowercase),
        "beneficiary": beneficiary,
        "requester": if dice.percent(50) { manager.clone() } else { beneficiary.clone() },
        "approvals": [{"approver": manager, "decidedAt": manager_decided.iso()}, {"approver": owner, "decidedAt": approved.iso()}],
        "requestedAt": requested.iso(),
        "approvedAt": approved.iso(),
        "validFrom": valid_from.map(|iso| iso[..10].to_owned()),
        "validUntil": valid_until.map(|iso| iso[..10].to_owned()),
        "urgency": if leaver { "P1" } else { ["P2", "P3", "P3", "P3", "P4"][usize::try_from(dice.below(5)).unwrap_or(1)] },
        "justification": if leaver { "Leaves the company" } else { *dice.pick(&REASONS) },
        "risk": if dice.percent(12) { "high" } else { "low" },
        "updatedAt": approved.iso(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_repeat_with_their_seed_and_are_of_every_sort() {
        let now = Timestamp(1_764_000_000_000);
        assert_eq!(order(7, 3, now), order(7, 3, now));
        assert_ne!(order(7, 3, now)["beneficiary"], order(8, 3, now)["beneficiary"]);
        let many: Vec<Value> = (0..400).map(|n| order(7, n, now)).collect();
        for operation in ["add", "remove", "change", "create_account"] {
            assert!(many.iter().any(|o| o["operation"] == operation), "{operation}");
        }
        for app in &APPS {
            assert!(many.iter().any(|o| o["application"]["id"] == app.id), "{}", app.id);
        }
        let future = many.iter().filter(|o| !o["validFrom"].is_null()).count();
        assert!((40..160).contains(&future), "{future}");
    }
}
