//! What becomes of an order: the ticket, its place, its time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lastmile::catalog::Catalog;
use lastmile::model::assignment::Named;
use lastmile::model::{Assignment, Operation, Timestamp};
use lastmile::plan::markup::{parse, to_adf, to_html, to_plain, to_wiki};
use lastmile::plan::{Moment, Planned, PlannedTicket, Planner, sample};
use proptest::prelude::*;
use serde_json::json;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const DAY: i64 = 86_400_000;

fn planner(files: &[(&str, &str)]) -> Planner {
    let desk = [("desks/jira.toml", "kind = \"jira\"\n")];
    let files = files.iter().chain(&desk).map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    Planner::new(&Arc::new(Catalog::from_files(Path::new("cfg"), files).unwrap())).unwrap()
}

fn moment() -> Moment {
    Moment { now: NOW, received_at: NOW, lane_ticket: None, cycle: 1, leaver: false }
}

fn order() -> Assignment {
    Assignment {
        application: Named { id: "sap".to_owned(), name: "SAP ERP".to_owned() },
        valid_from: None,
        external_id: "R-17".to_owned(),
        ..sample::full()
    }
}

fn filed(planner: &Planner, order: &Assignment) -> PlannedTicket {
    match planner.decide(order, &moment()) {
        Planned::File { ticket, .. } => *ticket,
        other => panic!("not filed: {other:?}"),
    }
}

fn shown(ticket: &PlannedTicket) -> String {
    format!("{}\n\n{}", ticket.draft.summary, to_plain(&parse(&ticket.draft.body), 10_000))
}

#[test]
fn the_built_in_ticket_reads_well_with_everything() {
    let application = "instructions = \"1. Open **SU01**.\\n2. Add the role.\"\n";
    let planner = planner(&[("applications/sap.toml", application)]);
    let at = Moment { lane_ticket: Some("IAM-7".to_owned()), ..moment() };
    let Planned::File { ticket, .. } = planner.decide(&order(), &at) else { panic!("not filed") };
    insta::assert_snapshot!(shown(&ticket), @r"
    Grant: Sales *read* on SAP ERP for Person *beneficiary*

    Please wait for IAM-7: it is about the same access and comes first.

    Task: Grant
    Application: SAP ERP
    Access: Sales *read* (ENT-1)
    Account: acc*1
    For: Person *beneficiary* (beneficiary)
    Until: 2027-11-12 06:13 UTC
    Needed before: 2026-12-02 08:26 UTC
    Priority: normal
    Requested by: Person *requester*, 2026-11-17 07:20 UTC
    Approved by: Person *approver-1*, Person *approver-2*, 2026-11-18 11:06 UTC

    How to do it
    ------------

    1. Open SU01.
    2. Add the role.

    In the requester's words
    ------------------------

    > Needs it for the project.
    > 
    > - *soon*

    When you are done
    -----------------

    Close this ticket with the resolution that fits: done, already in place, not possible, or rejected. If it could not be done, say why in your last comment: the requester is told. Please reassign this ticket rather than copy it.

    ----

    Key: lm-qety6zibhrholphe3bzze7co
    ");
}

#[test]
fn and_with_only_what_an_order_must_have() {
    insta::assert_snapshot!(shown(&filed(&planner(&[]), &sample::bare())), @r"
    Grant: account on Application for beneficiary

    Task: Grant
    Application: Application
    For: beneficiary
    Priority: normal

    When you are done
    -----------------

    Close this ticket with the resolution that fits: done, already in place, not possible, or rejected. If it could not be done, say why in your last comment: the requester is told. Please reassign this ticket rather than copy it.

    ----

    Key: lm-3oc5pxvy24qb5qyfyd7i5zvt
    ");
}

#[test]
fn without_any_configuration_the_convention_places_it() {
    let ticket = filed(&planner(&[]), &order());
    assert_eq!((ticket.desk.as_str(), ticket.draft.admin_group.as_str()), ("jira", "sap-admins"));
    insta::assert_snapshot!(ticket.route, @r"
    admin group `sap-admins` by convention ([defaults] admin_group), on desk `jira`
    ");
}

const SAP: &str = r#"
[route]
admin_group = "basis"
priority = 2

[[rules]]
name = "critical"
when = { risk = ["high", 4] }
route = { admin_group = "{{attributes.owner}}-team", template = "default" }

[[rules]]
name = "leavers"
operations = ["revoke"]
route = { admin_group = "basis", priority = 3 }

[entitlements."ENT-9"]
admin_group = "payroll"
"#;
const GROUPS: &str = "[basis]\nname = \"SAP Basis\"\n[payroll]\n[access-team]\nname = \"Access Management\"\n";
const MAIN: &str = "[defaults]\nfallback_admin_group = \"access-team\"\n";

#[test]
fn from_general_to_special_and_the_winner_is_named() {
    let planner = planner(&[("applications/sap.toml", SAP), ("admin-groups.toml", GROUPS), ("lastmile.toml", MAIN)]);
    let route = |change: &dyn Fn(&mut Assignment)| {
        let mut order = order();
        change(&mut order);
        let ticket = filed(&planner, &order);
        format!("{} | {} | {}", ticket.draft.admin_group, ticket.draft.priority, ticket.route)
    };
    let risk = |order: &mut Assignment, risk: serde_json::Value| {
        order.attributes.insert("risk".to_owned(), risk);
    };
    insta::assert_snapshot!(route(&|_| {}), @r"
    SAP Basis | 2 | admin group `basis` by the route of application `sap`, on desk `jira` (`SAP Basis` there)
    ");
    insta::assert_snapshot!(route(&|o| o.operation = Operation::Revoke), @r"
    SAP Basis | 3 | admin group `basis` by rule `leavers` of application `sap` (the operation is revoke), on desk `jira` (`SAP Basis` there)
    ");
    insta::assert_snapshot!(route(&|o| {
        risk(o, json!("4"));
        o.attributes.insert("owner".to_owned(), json!("finance"));
    }), @r"
    finance-team | 2 | admin group `finance-team` by rule `critical` of application `sap` (risk is high or 4), on desk `jira`
    ");
    insta::assert_snapshot!(route(&|o| risk(o, json!(["low", "high"]))), @r"
    Access Management | 2 | fallback group `access-team`, because `{{attributes.owner}}-team` by rule `critical` of application `sap` (risk is high or 4) needs something this order does not have, on desk `jira` (`Access Management` there)
    ");
    insta::assert_snapshot!(route(&|o| {
        risk(o, json!("high"));
        o.entitlement = Some(Named { id: "ENT-9".to_owned(), name: String::new() });
    }), @r"
    payroll | 2 | admin group `payroll` by the override of entitlement `ENT-9` in application `sap`, on desk `jira`
    ");
    assert_eq!(planner.fallback_group("jira").as_deref(), Some("Access Management"));
}

#[test]
fn what_nobody_can_be_found_for_waits_for_a_person() {
    let planner = planner(&[("lastmile.toml", "[defaults]\nadmin_group = \"{{attributes.owner}}\"\n")]);
    let Planned::Park { code, reason, .. } = planner.decide(&order(), &moment()) else { panic!("not parked") };
    assert_eq!(code, "E-ROUTE");
    insta::assert_snapshot!(reason, @r"
    `{{attributes.owner}}` by convention ([defaults] admin_group) needs something this order does not have, and there is no fallback group ([defaults] fallback_admin_group)
    ");
}

#[test]
fn a_future_order_waits_for_its_lead_time_and_counts_from_then() {
    let mut order = order();
    order.valid_from = Some(NOW.plus_ms(10 * DAY));
    let patient = planner(&[]);
    let Planned::Wait { until, eligible_at } = patient.decide(&order, &moment()) else { panic!("did not wait") };
    assert_eq!((until, eligible_at), (NOW.plus_ms(7 * DAY), NOW.plus_ms(7 * DAY)));
    let then = Moment { now: until, ..moment() };
    assert!(matches!(patient.decide(&order, &then), Planned::File { eligible_at, .. } if eligible_at == until));

    let eager = planner(&[("lastmile.toml", "[defaults]\nfiling = \"at_once\"\n")]);
    let Planned::File { eligible_at, ticket } = eager.decide(&order, &moment()) else { panic!("waited") };
    assert_eq!(eligible_at, NOW.plus_ms(7 * DAY));
    assert_eq!(ticket.draft.due_at, order.valid_from);
}

#[test]
fn a_revocation_waits_only_for_a_date_of_its_own() {
    let mut order = Assignment { operation: Operation::Revoke, ..order() };
    order.valid_until = Some(NOW.plus_ms(90 * DAY));
    assert!(matches!(planner(&[]).decide(&order, &moment()), Planned::File { .. }));
    order.valid_from = Some(NOW.plus_ms(90 * DAY));
    assert!(matches!(planner(&[]).decide(&order, &moment()), Planned::Wait { .. }));
}

#[test]
fn a_sender_whose_clock_runs_ahead_does_not_delay_its_order() {
    let order = Assignment { approved_at: Some(NOW.plus_ms(DAY)), ..order() };
    assert!(matches!(planner(&[]).decide(&order, &moment()), Planned::File { .. }));
}

#[test]
fn no_address_and_no_unnamed_attribute_reaches_a_ticket() {
    let template = "summary: {{subject}}\n{{attributes.cost}} {{key}}\n";
    let main = "[defaults]\ntemplate_attributes = [\"cost\"]\n";
    let planner = planner(&[("templates/tickets/default.hbs", template), ("lastmile.toml", main)]);
    let mut order = order();
    order.attributes.insert("cost".to_owned(), json!("4711"));
    order.attributes.insert("salary".to_owned(), json!("99999"));
    let ticket = filed(&planner, &order);
    let everything = serde_json::to_string(&ticket.draft).unwrap();
    assert!(everything.contains("4711"));
    assert!(!everything.contains("99999") && !everything.contains("example.com"), "{everything}");
}

#[test]
fn fields_of_the_desk_are_filled_and_keep_their_types() {
    let application = "[route.fields]\nlabels = [\"access\", \"{{operation.id}}\"]\nrank = 3\nuntil = \"{{valid_until_iso}}\"\n";
    let planner = planner(&[("applications/sap.toml", application)]);
    let order = Assignment { valid_until: None, ..order() };
    let fields = filed(&planner, &order).draft.fields;
    assert_eq!(serde_json::to_value(fields).unwrap(), json!({"labels": ["access", "grant"], "rank": 3}));
}

#[test]
fn the_same_order_gives_the_same_ticket_and_another_cycle_another_key() {
    let planner = planner(&[]);
    let (one, two) = (filed(&planner, &order()), filed(&planner, &order()));
    assert_eq!(one.draft, two.draft);
    let Planned::File { ticket, .. } = planner.decide(&order(), &Moment { cycle: 2, ..moment() }) else { panic!("not filed") };
    assert_ne!(one.draft.key, ticket.draft.key);
    assert!(one.draft.body.contains(&one.draft.key.0.replace('-', "\\-")));
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,80}",
        "[-#>*_`|\\[\\](){}<>!&~=+.: \t\n0-9a-z]{0,80}",
        Just("\n\n# heading\n\n- a\n\n    code\n\n1. x\n***\n| a | b |\n|---|---|\n[x](javascript:y) <b>z</b> &amp;".to_owned()),
        Just("a\u{202e}b\u{0}c\u{200b}".to_owned()),
    ]
}

/// The shape of a ticket, without its letters.
fn shape(body: &str) -> Vec<std::mem::Discriminant<lastmile::plan::markup::Block>> {
    parse(body).iter().map(std::mem::discriminant).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_words_of_an_order_change_the_shape_of_its_ticket(name in words(), role in words(), reason in words()) {
        let planner = planner(&[]);
        let plain = filed(&planner, &order());
        let mut order = order();
        order.beneficiary.name = Some(name);
        order.entitlement = Some(Named { id: "E".to_owned(), name: role });
        order.reason = Some(format!("x {reason}"));
        let ticket = filed(&planner, &order);
        prop_assert_eq!(shape(&ticket.draft.body), shape(&plain.draft.body), "{}", ticket.draft.body);
        let turns = |text: &str| text.contains('\u{202e}');
        prop_assert!(!turns(&ticket.draft.summary) && !ticket.draft.summary.contains(char::is_control));
        let plain = to_plain(&parse(&ticket.draft.body), 100_000);
        prop_assert!(plain.contains(ticket.draft.key.as_str()));
        prop_assert!(!turns(&plain));
    }

    #[test]
    fn ranks_put_revocations_first_and_let_waiting_count(
        a in 0i64..60 * DAY, b in 0i64..60 * DAY, p in -5i64..9, q in -5i64..9, old in 0i64..4_000 * DAY
    ) {
        let planner = planner(&[]);
        let step = 4 * 3_600_000;
        // Waiting counts from the arrival, however long ago it was approved.
        let rank = |operation, waited: i64, priority| {
            let received_at = NOW.plus_ms(-waited);
            let order = Assignment { operation, priority, approved_at: Some(received_at.plus_ms(-old)), ..order() };
            match planner.decide(&order, &Moment { received_at, ..moment() }) {
                Planned::File { ticket, .. } => ticket.rank,
                other => panic!("{other:?}"),
            }
        };
        let (low, high) = (p.clamp(0, 3), q.clamp(0, 3));
        let waited_longer = a + low * step > b + high * step;
        prop_assert_eq!(rank(Operation::Grant, a, p) < rank(Operation::Grant, b, q), waited_longer);
        prop_assert_eq!(rank(Operation::Revoke, a, p) < rank(Operation::Revoke, b, q), waited_longer);
        // A revocation goes first, but for what has waited a month longer: no stream of them starves anybody.
        let starving = b + high * step >= a + low * step + 3 * step + 30 * DAY;
        prop_assert_eq!(rank(Operation::Revoke, a, p) < rank(Operation::Grant, b, q), !starving);
    }

    #[test]
    fn what_is_taken_from_a_leaver_goes_ahead_of_everything_and_what_is_given_to_one_does_not(
        waited in 0i64..3_000 * DAY, p in 0i64..4, q in 0i64..4
    ) {
        let planner = planner(&[]);
        let ticket = |operation, waited: i64, priority, leaver| {
            let order = Assignment { operation, priority, ..order() };
            match planner.decide(&order, &Moment { received_at: NOW.plus_ms(-waited), leaver, ..moment() }) {
                Planned::File { ticket, .. } => ticket,
                other => panic!("{other:?}"),
            }
        };
        let leaver = ticket(Operation::Revoke, 0, p, true);
        prop_assert_eq!(leaver.draft.priority, 3);
        for other in [Operation::Revoke, Operation::Grant] {
            prop_assert!(leaver.rank < ticket(other, waited, q, false).rank);
        }
        prop_assert_eq!(ticket(Operation::Grant, waited, q, true).rank, ticket(Operation::Grant, waited, q, false).rank);
    }

    #[test]
    fn whatever_is_cut_off_the_key_stays_and_the_cut_shows(at in 0usize..12, long in 200usize..3_000, limit in 300usize..2_000) {
        let key = "lm-qety6zibhrholphe3bzze7co";
        let mut parts: Vec<String> = (0..11).map(|n| format!("{n} {}", "word ".repeat(long / 5))).collect();
        parts.insert(at, format!("Key: {key}"));
        let blocks = parse(&parts.join("\n\n"));
        let plain = [to_plain(&blocks, limit), to_wiki(&blocks, limit), to_html(&blocks, limit)];
        for text in plain {
            prop_assert!(text.chars().count() <= limit);
            prop_assert!(text.contains("shortened by lastmile"), "{text}");
            prop_assert!(text.contains(key), "{text}");
        }
        let adf = to_adf(&blocks, limit).to_string();
        prop_assert!(adf.chars().count() <= limit && adf.contains("shortened by lastmile") && adf.contains(key), "{adf}");
    }

    #[test]
    fn no_date_of_an_order_puts_it_behind_all_others(from in 0i64..4_000, approved in -10i64..4_000) {
        let planner = planner(&[("lastmile.toml", "[defaults]\nfiling = \"at_once\"\n")]);
        let far = Assignment {
            valid_from: Some(NOW.plus_ms(from * DAY)), approved_at: Some(NOW.plus_ms(approved * DAY)), ..order()
        };
        prop_assert!(filed(&planner, &far).rank <= NOW.0);
    }

    #[test]
    fn nobody_waits_beyond_the_lead_nor_counts_before_it(from in -40i64..40, lead in 0i64..30, approved in -40i64..1) {
        let planner = planner(&[("lastmile.toml", &format!("[defaults]\nlead_time = \"{lead}days\"\n"))]);
        let order = Assignment {
            valid_from: Some(NOW.plus_ms(from * DAY)), approved_at: Some(NOW.plus_ms(approved * DAY)), ..order()
        };
        let due = NOW.plus_ms((from - lead) * DAY);
        match planner.decide(&order, &moment()) {
            Planned::Wait { until, eligible_at } => {
                prop_assert!(until == due && due > NOW);
                prop_assert_eq!(eligible_at, due);
            }
            Planned::File { eligible_at, .. } => {
                prop_assert!(due <= NOW);
                prop_assert_eq!(eligible_at, due.max(NOW.plus_ms(approved * DAY)));
            }
            Planned::Park { reason, .. } => prop_assert!(false, "{}", reason),
        }
    }
}
