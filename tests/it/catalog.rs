//! Every refused configuration names its file, its line and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lastmile::catalog::Catalog;
use lastmile::plan::Planner;

const DESK: (&str, &str) = ("desks/jira.toml", "kind = \"jira\"\n");

/// Everything that catalog and planner say, together, as `check` shows it.
pub fn complaints(files: &[(&str, &str)]) -> String {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
    let (catalog, mut problems) = Catalog::gather_files(Path::new("cfg"), files);
    problems.extend(Planner::gather(&Arc::new(catalog)).1);
    problems.sort();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_configuration_and_one_desk_are_sound() {
    assert_eq!(complaints(&[]), "");
    assert_eq!(complaints(&[DESK]), "");
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let main = "[instance]\nname = \"Prod 1\"\n\n[defaults]\ndesk = \"jria\"\ntemplate = \"defualt\"\n";
    let application = "[route]\nadmin_group = \"sap-admin\"\npriority = 7\n";
    let groups = "[sap-admins]\ndesk = \"servicenow\"\n";
    let files = [("lastmile.toml", main), ("applications/sap.toml", application), ("admin-groups.toml", groups), DESK];
    insta::assert_snapshot!(complaints(&files), @"");
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest() {
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[server]\nlisten = \"127.0.0.1:1\"\nmax_body = 5\n")]), @"");
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[work]\nlease = \"two minutes\"\n")]), @"");
    insta::assert_snapshot!(complaints(&[("applications/a.toml", "[[rules]]\nname = \"r\"\nroute = { filling = \"at_once\" }\n")]), @"");
}

#[test]
fn what_nobody_may_reach_unasked_is_refused() {
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[server]\nlisten = \"0.0.0.0:8480\"\n")]), @"");
    let token =
        format!("[server]\nlisten = \"0.0.0.0:8480\"\n[access.tokens.x]\nsha256 = \"{}\"\nrole = \"viewer\"\n", "ab".repeat(32));
    assert_eq!(complaints(&[("lastmile.toml", &token)]), "");
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[access.tokens.x]\nrole = \"viewer\"\nsha256 = \"lmt_123\"\n")]), @"");
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[server]\nlisten = \"localhost\"\npublic_url = \"lastmile\"\n")]), @"");
}

#[test]
fn values_that_would_break_the_promise_are_refused() {
    let main = "[retention]\ninbox = \"3days\"\n[work]\nlease = \"1s\"\nfull_pass = \"1s\"\n[retry]\nfactor = 0.5\n[ledger]\nurl = \"postgres://u:secret@h/db\"\n";
    let said = complaints(&[("lastmile.toml", main)]);
    assert!(!said.contains("secret"), "{said}");
    insta::assert_snapshot!(said, @"");
}

#[test]
fn with_several_desks_one_is_chosen() {
    let desks = [DESK, ("desks/snow.toml", "kind = \"servicenow\"\n")];
    insta::assert_snapshot!(complaints(&desks), @"");
    let mut chosen = desks.to_vec();
    chosen.push(("lastmile.toml", "[defaults]\ndesk = \"snow\"\n"));
    assert_eq!(complaints(&chosen), "");
    chosen.push(("admin-groups.toml", "[g]\ndesk = \"snow\"\n"));
    chosen.push(("applications/a.toml", "[route]\ndesk = \"jira\"\nadmin_group = \"g\"\n"));
    insta::assert_snapshot!(complaints(&chosen), @"");
}

#[test]
fn an_application_is_described_once() {
    let files = [("applications/a.toml", "id = \"SAP\"\n"), ("applications/sap.toml", "")];
    insta::assert_snapshot!(complaints(&files), @"");
    let rules = "[[rules]]\nname = \"r\"\nwhen = { risk = [] }\n[[rules]]\nname = \"r\"\n[entitlements.X]\n[entitlements.x]\n";
    insta::assert_snapshot!(complaints(&[("applications/a.toml", rules)]), @"");
}

#[test]
fn a_file_that_nothing_reads_is_told() {
    insta::assert_snapshot!(complaints(&[("admin_groups.toml", ""), ("desks/My Desk.toml", "kind = \"jira\"\n"), ("sources/s.toml", "x = 1\n")]), @"");
}

#[test]
fn templates_are_tried_before_an_order_does() {
    let bad = "summary: {{subjet}}\n{{#if requestor}}x{{/if}}\n{{#each approvers}}{{nam}}{{/each}}\n{{{reason}}}\n{{> closng}}\n{{attributes.color}}\n{{key}}\n";
    insta::assert_snapshot!(complaints(&[("templates/tickets/default.hbs", bad)]), @"");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "no summary\n")]), @"");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n\n{{#if reason}}\nopen\n")]), @"");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\nno key\n")]), @"");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n`{{key}}`\n")]), @"");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n{{requester.name}} {{key}}\n")]), @"");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n{{markup reason}} {{shout reason}} {{key}}\n")]), @"");
}

#[test]
fn inheritance_by_inline_partials_is_understood() {
    let layout = "{{> @partial-block}}\n{{> how}}\n{{key}}\n";
    let good = "summary: x\n{{#> layout}}{{#*inline \"how\"}}By {{beneficiary.name}}{{/inline}}{{/layout}}\n";
    assert_eq!(complaints(&[("templates/partials/layout.hbs", layout), ("templates/tickets/t.hbs", good)]), "");
    let bad = "summary: x\n{{#> layout}}{{#*inline \"how\"}}{{#if typo}}x{{/if}}{{/inline}}{{/layout}}\n";
    let said = complaints(&[("templates/partials/layout.hbs", layout), ("templates/tickets/t.hbs", bad)]);
    assert!(said.contains("t.hbs:2: `typo` does not exist"), "{said}");
}

#[test]
fn patterns_and_fields_are_tried_too() {
    let application = "template_attributes = [\"cost\"]\n[route]\nadmin_group = \"{{aplication.id}}-x\"\n[route.fields]\ngood = \"{{attributes.cost}}\"\nbad = \"{{attributes.owner}}\"\n";
    insta::assert_snapshot!(complaints(&[("applications/a.toml", application), DESK]), @"");
}

#[test]
fn a_folder_is_read_as_its_files_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = Catalog::load(folder.path()).unwrap_err().to_string();
    assert!(said.contains("there is no lastmile.toml in this folder"), "{said}");
    std::fs::write(folder.path().join("lastmile.toml"), "[instance]\nname = \"test\"\n").unwrap();
    std::fs::create_dir(folder.path().join("application")).unwrap();
    let said = Catalog::load(folder.path()).unwrap_err().to_string();
    assert!(said.contains("did you mean `applications`?"), "{said}");
    std::fs::rename(folder.path().join("application"), folder.path().join("applications")).unwrap();
    std::fs::write(folder.path().join("applications/sap.toml"), "name = \"SAP\"\n").unwrap();
    std::fs::write(folder.path().join("applications/.swap.toml"), "junk").unwrap();
    let catalog = Catalog::load(folder.path()).unwrap();
    assert_eq!(catalog.main.instance.name, "test");
    assert_eq!(catalog.applications["sap"].name.as_deref(), Some("SAP"));
    let before = catalog.version;
    std::fs::write(folder.path().join("applications/sap.toml"), "name = \"SAP 2\"\n").unwrap();
    assert_ne!(Catalog::load(folder.path()).unwrap().version, before);
}
