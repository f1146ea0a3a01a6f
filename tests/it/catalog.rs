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
    insta::assert_snapshot!(complaints(&files), @r"
    cfg/admin-groups.toml:2: there is no desk `servicenow`
        describe it in desks/servicenow.toml
    cfg/applications/sap.toml:2: there is no admin group `sap-admin` in admin-groups.toml
        did you mean `sap-admins`?
    cfg/applications/sap.toml:3: 7 is not a priority
        0 can wait, 1 normal, 2 soon, 3 urgent
    cfg/lastmile.toml:2: `Prod 1` cannot be the name of an installation
        up to 40 of the characters a-z, 0-9 and `-`
    cfg/lastmile.toml:5: there is no desk `jria`
        did you mean `jira`?
    cfg/lastmile.toml:6: there is no ticket template `defualt`
        did you mean `default`?
    ");
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest() {
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[server]\nlisten = \"127.0.0.1:1\"\nmax_body = 5\n")]), @r"
    cfg/lastmile.toml:3: unknown field `max_body`, expected one of `listen`, `public_url`, `max_body_bytes`, `tls`
        did you mean `max_body_bytes`?
    ");
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[work]\nlease = \"two minutes\"\n")]), @r#"
    cfg/lastmile.toml:2: `two minutes` is not a span of time; write it like "90s", "15m", "2h" or "14days"
    "#);
    insta::assert_snapshot!(complaints(&[("applications/a.toml", "[[rules]]\nname = \"r\"\nroute = { filling = \"at_once\" }\n")]), @r"
    cfg/applications/a.toml:3: unknown field `filling`, expected one of `desk`, `admin_group`, `template`, `filing`, `lead_time`, `priority`, `fields`
        did you mean `filing`?
    ");
}

#[test]
fn several_mistakes_of_one_file_are_told_together() {
    let main = "[instance]\nnam = \"x\"\n[sever]\nlisten = \"y\"\n[work]\nsync_every = \"30 lightyears\"\nlease = \"2m\"\nsweep = \"1h\"\n";
    insta::assert_snapshot!(complaints(&[("lastmile.toml", main)]));
}

#[test]
fn what_nobody_may_reach_unasked_is_refused() {
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[server]\nlisten = \"0.0.0.0:8480\"\n")]), @r"
    cfg/lastmile.toml:2: `0.0.0.0:8480` can be reached from other machines, but nobody needs to log in
        add [access.tokens.NAME] (see `lastmile token`) or [access.trusted_proxy], or listen on 127.0.0.1
    ");
    let token =
        format!("[server]\nlisten = \"0.0.0.0:8480\"\n[access.tokens.x]\nsha256 = \"{}\"\nrole = \"viewer\"\n", "ab".repeat(32));
    assert_eq!(complaints(&[("lastmile.toml", &token)]), "");
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[access.tokens.x]\nrole = \"viewer\"\nsha256 = \"lmt_123\"\n")]), @r"
    cfg/lastmile.toml:3: the hash of token `x` is not 64 hex characters
        put the SHA-256 that `lastmile token` prints here, never the token itself
    ");
    let twice = format!(
        "[access.tokens]\na = {{ sha256 = \"{0}\", role = \"viewer\" }}\nb = {{ sha256 = \"{0}\", role = \"operator\" }}\n",
        "ab".repeat(32)
    );
    insta::assert_snapshot!(complaints(&[("lastmile.toml", &twice)]), @r"
    cfg/lastmile.toml:3: tokens `a` and `b` are the same token
        make one for each holder: `lastmile token NAME`
    ");
    let proxy = "[access.trusted_proxy]\nfrom = [\"10.0.0.5\"]\nuser_header = \"X-Forwarded-User\"\n";
    insta::assert_snapshot!(complaints(&[("lastmile.toml", proxy)]), @r#"
    cfg/lastmile.toml:1: the proxy may let in nobody: no group is named
        say what a group may do, as in groups = [{ group = "*", role = "viewer" }]
    "#);
    insta::assert_snapshot!(complaints(&[("lastmile.toml", "[server]\nlisten = \"localhost\"\npublic_url = \"lastmile\"\n")]), @r#"
    cfg/lastmile.toml:2: `localhost` is not an address to listen on
        an IP address and a port, as in "127.0.0.1:8480"
    cfg/lastmile.toml:3: `lastmile` is not a web address
        write it like "https://lastmile.example.org"
    "#);
}

#[test]
fn values_that_would_break_the_promise_are_refused() {
    let main = "[retention]\ninbox = \"3days\"\n[work]\nlease = \"1s\"\nfull_pass = \"1s\"\n[retry]\nfactor = 0.5\n[ledger]\nurl = \"postgres://u:hunter2@h/db\"\n";
    let said = complaints(&[("lastmile.toml", main)]);
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @r#"
    cfg/lastmile.toml:2: 3days is too short: platforms send an event again for days
        at least "7days"
    cfg/lastmile.toml:4: a call could be taken over while it is still under way
        longer than the longest time-out of any desk; "2m" suits most
    cfg/lastmile.toml:5: the full pass is shorter than one sync
        hours, as in "6h": it spreads one look at every open ticket over this span
    cfg/lastmile.toml:7: 0.5 is no factor to wait by
        between 1 and 10
    cfg/lastmile.toml:9: `postgres:…` holds a password, or cannot be read
        leave the password out and name where it is: password = { file = "/run/secrets/ledger" }
    "#);
}

#[test]
fn with_several_desks_one_is_chosen() {
    let desks = [DESK, ("desks/snow.toml", "kind = \"servicenow\"\n")];
    insta::assert_snapshot!(complaints(&desks), @r#"
    cfg/lastmile.toml: there are 2 desks (jira, snow) and none is chosen
        set desk = "jira" (or another) in [defaults]
    "#);
    let mut chosen = desks.to_vec();
    chosen.push(("lastmile.toml", "[defaults]\ndesk = \"snow\"\n"));
    assert_eq!(complaints(&chosen), "");
    chosen.push(("admin-groups.toml", "[g]\ndesk = \"snow\"\n"));
    chosen.push(("applications/a.toml", "[route]\ndesk = \"jira\"\nadmin_group = \"g\"\n"));
    insta::assert_snapshot!(complaints(&chosen), @r"
    cfg/applications/a.toml:2: admin group `g` is on desk `snow`, not on `jira`
        leave `desk` out here, or choose a group of this desk
    ");
}

#[test]
fn an_application_is_described_once() {
    let files = [("applications/a.toml", "id = \"SAP\"\n"), ("applications/sap.toml", "")];
    insta::assert_snapshot!(complaints(&files), @r"
    cfg/applications/sap.toml: application `sap` is already described in cfg/applications/a.toml (as `SAP`)
        one file per application; give one of them another `id`
    ");
    let rules = "[[rules]]\nname = \"r\"\nwhen = { risk = [] }\n[[rules]]\nname = \"r\"\n[entitlements.X]\n[entitlements.x]\n";
    insta::assert_snapshot!(complaints(&[("applications/a.toml", rules)]), @r"
    cfg/applications/a.toml:3: rule `r` can never fit: `risk` has no values
        list the values that fit, or leave the attribute out
    cfg/applications/a.toml:5: a second rule is named `r`
        people are told the name of the rule that won: name each once
    cfg/applications/a.toml:7: entitlements `X` and `x` differ only in upper and lower case
        keep the one that the platform sends
    ");
}

#[test]
fn a_file_that_nothing_reads_is_told() {
    insta::assert_snapshot!(complaints(&[("admin_groups.toml", ""), ("desks/My Desk.toml", "kind = \"jira\"\n"), ("sources/s.toml", "x = 1\n")]), @r"
    cfg/admin_groups.toml: nothing reads this file
        did you mean `admin-groups.toml`?
    cfg/desks/My Desk.toml: `My Desk` cannot be a name
        the file's name is the name used everywhere: lower-case letters, digits and `-`
    cfg/sources/s.toml:1: missing field `kind`
    ");
}

#[test]
fn templates_are_tried_before_an_order_does() {
    let bad = "summary: {{subjet}}\n{{#if requestor}}x{{/if}}\n{{#each approvers}}{{nam}}{{/each}}\n{{{reason}}}\n{{> closng}}\n{{attributes.color}}\n{{key}}\n";
    insta::assert_snapshot!(complaints(&[("templates/tickets/default.hbs", bad)]), @r#"
    cfg/templates/tickets/default.hbs:1: `subjet` does not exist
        did you mean `subject`?
    cfg/templates/tickets/default.hbs:2: `requestor` does not exist
        did you mean `requester`?
    cfg/templates/tickets/default.hbs:3: `nam` does not exist
        did you mean `name`?
    cfg/templates/tickets/default.hbs:4: `{{{` and `{{&` would let an order's text become markup
        write `{{`
    cfg/templates/tickets/default.hbs:5: there is no partial `closng`
        did you mean `closing`?
    cfg/templates/tickets/default.hbs:6: `attributes.color` does not exist
        attributes that a ticket may show stand in `template_attributes`: add "color" there
    "#);
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "no summary\n")]), @r"
    cfg/templates/tickets/t.hbs:1: a template begins with the line `summary: …`; the text follows below it
    ");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n\n{{#if reason}}\nopen\n")]), @r"
    cfg/templates/tickets/t.hbs:5: this is no valid template: invalid handlebars syntax: expected escape, expression, html_expression, decorator_expression, partial_expression, invert_tag, invert_chain_tag, helper_block_start, helper_block_end, decorator_block_start, partial_block_start, raw_block_start, hbs_comment, or hbs_comment_compact
    ");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\nno key\n")]), @r"
    cfg/templates/tickets/t.hbs: the text does not show {{key}}, which ties the ticket to the order
    ");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n`{{key}}`\n")]), @r"
    cfg/templates/tickets/t.hbs: a value stands inside `code`, where it cannot be kept harmless: take the backticks away
    ");
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n{{requester.name}} {{key}}\n")]), @r#"
    cfg/templates/tickets/t.hbs: ticket template `t` (line 1 of its part): Failed to access variable in strict mode Some("requester.name") (an order with only what it must have)
    "#);
    insta::assert_snapshot!(complaints(&[("templates/tickets/t.hbs", "summary: x\n{{markup reason}} {{shout reason}} {{key}}\n")]), @r"
    cfg/templates/tickets/t.hbs:2: `markup` is for `instructions` only: all else is escaped
    cfg/templates/tickets/t.hbs:2: there is no helper `shout`
    ");
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
    insta::assert_snapshot!(complaints(&[("applications/a.toml", application), DESK]), @r"
    cfg/applications/a.toml:3: in `{{aplication.id}}-x`: `aplication.id` does not exist
        did you mean `application`?
    cfg/applications/a.toml:6: desk field `bad` cannot be filled: `attributes.owner` does not exist
        attributes must be named in `template_attributes`
    ");
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

#[test]
fn mail_and_reports_are_checked() {
    let main = "[kpi]\nsmallest_group = 0\n\n[mail]\nserver = \"smtp.example.org:25\"\nsecurity = \"none\"\nuser = \"lastmile\"\nfrom = \"nobody\"\n\n\
        [[reports]]\nname = \"Weekly\"\nschedule = \"0 7 * * MON\"\nzone = \"Europe/Berlni\"\nto = [\"a@b, c@d\"]\n\n\
        [[reports]]\nname = \"empty\"\nschedule = \"0 7 1 * *\"\ncontents = []\nadmin_groups = [\"sap-admin\"]\n\n\
        [[reports]]\nname = \"empty\"\nschedule = \"0 7 1 * *\"\nwebhook = { url = \"http://hooks.example.org\", secret = { env = \"X\" } }\n";
    insta::assert_snapshot!("mail_and_reports", complaints(&[("lastmile.toml", main), ("admin-groups.toml", "[sap-admins]\n")]));
    let wrong = "[[reports]]\nname = \"x\"\nschedule = \"0 7 * * 1\"\n";
    insta::assert_snapshot!("a_wrong_schedule", complaints(&[("lastmile.toml", wrong)]));
    let no_server = "[[reports]]\nname = \"x\"\nschedule = \"0 7 * * *\"\nto = [\"a@b.example\"]\n";
    insta::assert_snapshot!("no_mail_server", complaints(&[("lastmile.toml", no_server)]));
}

#[test]
fn calendars_and_targets_are_checked_against_each_other() {
    let main = "[defaults.targets]\ngrant = { within = \"16h\", clock = \"business\" }\nrevoke = { within = \"1s\", clock = \"elapsed\" }\n";
    let files = [
        ("lastmile.toml", main),
        ("admin-groups.toml", "[night]\ncalendar = \"nigth\"\n\n[day]\ncalendar = \"broken\"\n"),
        ("applications/crm.toml", "[targets]\ngrnat = { within = \"1h\", clock = \"elapsed\" }\n"),
        ("calendars/night.toml", "zone = \"UTC\"\nics = [\"gone.ics\", \"there.ics\"]\n[hours]\nfriday = [\"22:00-06:00\"]\n"),
        (
            "calendars/there.ics",
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260501\nRRULE:FREQ=WEEKLY\nEND:VEVENT\nEND:VCALENDAR\n",
        ),
        ("calendars/broken.toml", "zone = \"Europe/Berlin\"\n[hours]\nmonday = [\"8-17\"]\n"),
    ];
    insta::assert_snapshot!("calendars_and_targets", complaints(&files));
}

#[test]
fn evidence_names_a_source_that_there_is() {
    use lastmile::bridge;
    use lastmile::model::clock::{Clock, SystemClock};
    use lastmile::sandbox::config;

    let folder = tempfile::tempdir().unwrap();
    let nowhere = "http://127.0.0.1:1";
    for (path, text) in config::files(nowhere, nowhere, nowhere, "127.0.0.1:8480") {
        let text = text.replace("at = \"/seenAt\" }", "at = \"/seenAt\", orders_of = \"igaa\" }");
        config::write(folder.path(), &path, &text).unwrap();
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let refused = bridge::setup(Catalog::load(folder.path()).unwrap(), &clock).err().unwrap().to_string();
    assert!(refused.contains("sources/iga.toml:") && refused.contains("there is no source `igaa`"), "{refused}");
    assert!(refused.contains("did you mean `iga`?"), "{refused}");
}
