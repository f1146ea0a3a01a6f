//! The demo's configuration, as the text files a person would write.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::company::APPS;
use super::platform::{HOOK_SECRET, LIST_TOKEN, REPORT_SECRET};

/// Name of the demo's source.
pub const SOURCE: &str = "iga";
/// User name on both fake desks.
const DESK_USER: &str = "bridge";
/// Its password.
const DESK_PASSWORD: &str = "sandbox-token";

/// The mapping of the fake platform's orders.
pub const MAPPING: &str = r#"[mapping]
zone = "Europe/Berlin"
withdrawn = { pointer = "/status", values = ["withdrawn"] }
seen = { pointer = "/status", values = ["in_effect"], at = "/seenAt" }
external_id = "/id"
generation = { pointer = "/round", default = 1 }
operation = { pointer = "/operation", map = { add = "grant", remove = "revoke", change = "modify", create_account = "create_account", disable = "disable_account" } }
application = { id = "/application/id", name = "/application/name" }
entitlement = { id = "/entitlement/id", name = "/entitlement/name" }
account = "/account"
beneficiary = { id = "/beneficiary/id", name = "/beneficiary/name", email = "/beneficiary/email" }
requester = { id = "/requester/id", name = "/requester/name", email = "/requester/email" }
approvals = { list = "/approvals", by = { id = "/approver/id", name = "/approver/name" }, at = "/decidedAt" }
requested_at = "/requestedAt"
approved_at = "/approvedAt"
valid_from = "/validFrom"
valid_until = "/validUntil"
priority = { pointer = "/urgency", map = { P1 = "urgent", P2 = "high", P3 = "normal", P4 = "low" }, default = 1 }
reason = "/justification"

[mapping.attributes]
department = "/beneficiary/department"
site = "/beneficiary/site"
risk = "/risk"
"#;

/// Every file of the demo's configuration: path below its folder, and text. The secrets of the fakes are among them,
/// as files of their own. `listen` is where the demo serves (`127.0.0.1:8480`).
#[must_use]
pub fn files(platform_url: &str, jira_url: &str, servicenow_url: &str, listen: &str) -> Vec<(String, String)> {
    let mut files = vec![
        ("lastmile.toml".to_owned(), main_file(listen)),
        ("admin-groups.toml".to_owned(), ADMIN_GROUPS.to_owned()),
        ("calendars/office.toml".to_owned(), OFFICE.to_owned()),
        ("calendars/pune.toml".to_owned(), PUNE.to_owned()),
        ("calendars/pune-holidays.ics".to_owned(), PUNE_HOLIDAYS.to_owned()),
        (format!("sources/{SOURCE}.toml"), source_file(platform_url)),
        ("desks/jira.toml".to_owned(), jira_file(jira_url)),
        ("desks/servicenow.toml".to_owned(), servicenow_file(servicenow_url)),
    ];
    files.extend(APPLICATIONS.iter().map(|(id, text)| (format!("applications/{id}.toml"), (*text).to_owned())));
    let described: Vec<&str> = APPLICATIONS.iter().map(|(id, _)| *id).collect();
    for app in APPS.iter().filter(|a| a.on_servicenow && !described.contains(&a.id)) {
        let text = "# Everything but the desk follows the conventions of lastmile.toml.\n[route]\ndesk = \"servicenow\"\n";
        files.push((format!("applications/{}.toml", app.id), text.to_owned()));
    }
    for (name, secret) in [
        ("platform-hook", HOOK_SECRET),
        ("platform-report", REPORT_SECRET),
        ("platform-list", LIST_TOKEN),
        ("desk", DESK_PASSWORD),
    ] {
        files.push((format!("secrets/{name}"), format!("{secret}\n")));
    }
    files
}

/// Writes one of the [`files`] below a folder; a secret can be read by its owner only.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, path: &str, text: &str) -> io::Result<()> {
    let file = folder.join(path);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&file, text)?;
    if path.starts_with("secrets/") {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn main_file(listen: &str) -> String {
    format!(
        r#"# The demo: a fake identity platform, a fake Jira and a fake ServiceNow, and this lastmile between them.
[instance]
name = "demo"

[server]
listen = "{listen}"

[defaults]
desk = "jira"
# An application without a file of its own goes to the group of this name.
admin_group = "{{{{application.id}}}}-admins"
fallback_admin_group = "access-desk"
lead_time = "3days"
# When groups work that name no calendar of their own, and how long they may take: two working days for a grant.
calendar = "office"

[defaults.targets]
grant = {{ within = "20h", clock = "business" }}
modify = {{ within = "30h", clock = "business" }}
create_account = {{ within = "20h", clock = "business" }}
revoke = {{ within = "24h", clock = "elapsed" }}
disable_account = {{ within = "24h", clock = "elapsed" }}
delete_account = {{ within = "72h", clock = "elapsed" }}

[work]
sync_every = "3s"
"#
    )
}

const ADMIN_GROUPS: &str = r#"# Groups that are not named by the convention.
[access-desk]
name = "Access Desk"

[sap-basis]
desk = "servicenow"
name = "SAP Basis"

[sap-security]
desk = "servicenow"
name = "SAP Security"

[plant-it]
name = "Plant IT"

[plant-it-pune]
name = "Plant IT Pune"
calendar = "pune"
"#;

const OFFICE: &str = r#"# The company's offices.
zone = "Europe/Berlin"
holidays = ["01-01", "05-01", "10-03", "12-24", "12-25", "12-26", "12-31"]

[hours]
monday = ["08:00-18:00"]
tuesday = ["08:00-18:00"]
wednesday = ["08:00-18:00"]
thursday = ["08:00-18:00"]
friday = ["08:00-18:00"]
"#;

const PUNE: &str = r#"# The plant in Pune works on Saturdays, too.
zone = "Asia/Kolkata"
ics = ["pune-holidays.ics"]

[hours]
monday = ["09:00-13:00", "14:00-18:00"]
tuesday = ["09:00-13:00", "14:00-18:00"]
wednesday = ["09:00-13:00", "14:00-18:00"]
thursday = ["09:00-13:00", "14:00-18:00"]
friday = ["09:00-13:00", "14:00-18:00"]
saturday = ["09:00-13:00"]
"#;

const PUNE_HOLIDAYS: &str = "BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//lastmile demo//EN
BEGIN:VEVENT
UID:republic-day@demo.example
DTSTART;VALUE=DATE:20200126
RRULE:FREQ=YEARLY
SUMMARY:Republic Day
END:VEVENT
BEGIN:VEVENT
UID:independence-day@demo.example
DTSTART;VALUE=DATE:20200815
RRULE:FREQ=YEARLY
SUMMARY:Independence Day
END:VEVENT
BEGIN:VEVENT
UID:gandhi-jayanti@demo.example
DTSTART;VALUE=DATE:20201002
RRULE:FREQ=YEARLY
SUMMARY:Gandhi Jayanti
END:VEVENT
END:VCALENDAR
";

fn source_file(platform_url: &str) -> String {
    format!(
        r#"# Orders are pushed by the platform; the list is asked for as well, so that a lost message is not a lost order.
kind = "webhook"

[webhook]
verify = {{ scheme = "standard-webhooks", secrets = [{{ file = "secrets/platform-hook" }}] }}
events = "/data"

[poll]
url = "{platform_url}/orders?limit=100"
schedule = "30s"
auth = {{ bearer = {{ file = "secrets/platform-list" }} }}
list = "cursor"
items = "/items"
paging = {{ by = "next_pointer", pointer = "/next" }}
cursor = {{ field = "/updatedAt", parameter = "since", overlap = "2m", ascending = true }}

[report]
url = "{platform_url}/completions"
signing = {{ file = "secrets/platform-report" }}

{MAPPING}"#
    )
}

fn jira_file(url: &str) -> String {
    format!(
        r#"kind = "jira"
url = "{url}"
project = "IAM"
auth = {{ basic = {{ user = "{DESK_USER}", password = {{ file = "secrets/desk" }} }} }}
waiting_statuses = ["Waiting"]
timeout = "5s"
index_lag = "5s"
max_processing = "5s"
"#
    )
}

fn servicenow_file(url: &str) -> String {
    format!(
        r#"kind = "servicenow"
url = "{url}"
table = "sc_task"
auth = {{ basic = {{ user = "{DESK_USER}", password = {{ file = "secrets/desk" }} }} }}
timeout = "5s"
max_processing = "5s"
"#
    )
}

/// Applications that need more than the convention.
const APPLICATIONS: [(&str, &str); 4] = [
    (
        "sap-erp",
        r#"instructions = """
1. Open transaction **SU01** in the productive client.
2. Assign or remove the role with the dates of this ticket.
3. Run the user comparison in **PFCG**.
"""

[route]
desk = "servicenow"
admin_group = "sap-basis"
lead_time = "5days"

# The transport window is weekly.
[targets]
grant = { within = "30h", clock = "business" }

[[rules]]
name = "risky roles go to the security team"
when = { risk = ["high"] }
route = { admin_group = "sap-security" }

[entitlements.Z_FI_APPROVER]
admin_group = "sap-security"
priority = 2
"#,
    ),
    (
        "lims",
        r#"name = "Laboratory information system (LIMS)"
instructions = "Ask the quality manager for the training record before you grant *method-editor*."

[route]
lead_time = "7days"
"#,
    ),
    (
        "mes",
        r#"[route]
admin_group = "plant-it"

[[rules]]
name = "Pune has its own team"
when = { site = ["Pune"] }
route = { admin_group = "plant-it-pune" }
"#,
    ),
    (
        "badge",
        r#"[route]
desk = "servicenow"
# Badges are printed when the person arrives: filed as soon as it is approved.
filing = "at_once"
"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use crate::catalog::{AdminGroup, Application, ConfigFile, EdgeFile, MainFile};
    use crate::model::Timestamp;
    use crate::model::clock::FakeClock;

    #[test]
    fn every_file_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let all = files("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3", "127.0.0.1:8480");
        for (path, text) in &all {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        for (path, text) in &all {
            let file = ConfigFile::from_text(std::path::Path::new(path), text);
            let parsed = match path.split('/').next().unwrap() {
                "lastmile.toml" => file.parse::<MainFile>().map(drop),
                "admin-groups.toml" => file.parse::<BTreeMap<String, AdminGroup>>().map(drop),
                "applications" => file.parse::<Application>().map(drop),
                _ => Ok(()),
            };
            assert_eq!(parsed, Ok(()), "{path}");
        }
        let text = &all.iter().find(|(path, _)| path == "sources/iga.toml").unwrap().1;
        let file = ConfigFile::from_text(std::path::Path::new("sources/iga.toml"), text);
        let edge = EdgeFile { kind: "webhook".to_owned(), file };
        let clock = Arc::new(FakeClock::at(Timestamp(0)));
        let source = crate::source::build(SOURCE, &edge, folder.path(), clock).unwrap();
        let can = source.info().capabilities;
        assert!(can.pushes && can.polls && can.report && can.reason && can.ticket_link);
    }
}
