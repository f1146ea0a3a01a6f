//! What no single file can know: whether the files fit together, and whether the main file's values make sense.

use std::net::SocketAddr;

use super::file::nearest;
use super::load::Files;
use super::{Application, Catalog, ClockKind, ConfigFile, Problem, Route, Targets};
use crate::model::Operation;

const DAY_MS: i64 = 86_400_000;

/// Every problem between files and of values.
pub(super) fn cross_check(catalog: &Catalog, files: &Files) -> Vec<Problem> {
    let mut check = Check { catalog, files, problems: Vec::new() };
    if let Some(main) = &catalog.main_file {
        check.instance(main);
        check.server(main);
        check.access(main);
        check.work(main);
        check.defaults(main);
        check.kpi(main);
        super::scheduled::check(catalog, main, &mut check.problems);
    } else if !files.main_is_broken {
        check.several_desks(&ConfigFile::from_text(&catalog.folder.join(super::load::MAIN), ""));
    }
    check.groups();
    for (id, application) in &catalog.applications {
        if let Some(file) = catalog.application_files.get(id) {
            check.application(application, file);
        }
    }
    check.problems
}

struct Check<'a> {
    catalog: &'a Catalog,
    files: &'a Files,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn say(&mut self, file: &ConfigFile, keys: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(file.problem(keys, message, Some(help.into())));
    }

    fn instance(&mut self, file: &ConfigFile) {
        let name = &self.catalog.main.instance.name;
        let fits = !name.is_empty()
            && name.len() <= 40
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            let message = format!("`{name}` cannot be the name of an installation");
            self.say(file, &["instance", "name"], message, "up to 40 of the characters a-z, 0-9 and `-`");
        }
    }

    fn listener(&mut self, file: &ConfigFile, keys: &[&str], listen: &str) {
        match listen.parse::<SocketAddr>() {
            Err(_) => {
                let message = format!("`{listen}` is not an address to listen on");
                self.say(file, keys, message, "an IP address and a port, as in \"127.0.0.1:8480\"");
            }
            Ok(address) if !address.ip().is_loopback() && !self.catalog.main.access.is_configured() => {
                let message = format!("`{listen}` can be reached from other machines, but nobody needs to log in");
                let help = "add [access.tokens.NAME] (see `lastmile token`) or [access.trusted_proxy], or listen on 127.0.0.1";
                self.say(file, keys, message, help);
            }
            Ok(_) => {}
        }
    }

    fn server(&mut self, file: &ConfigFile) {
        let server = &self.catalog.main.server;
        self.listener(file, &["server", "listen"], &server.listen);
        if let Some(tls) = &server.tls {
            self.listener(file, &["server", "tls", "listen"], &tls.listen);
        }
        if let Some(address) = &server.public_url {
            let good = url::Url::parse(address).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
            if !good {
                let message = format!("`{address}` is not a web address");
                self.say(file, &["server", "public_url"], message, "write it like \"https://lastmile.example.org\"");
            }
        }
        if server.max_body_bytes < 1024 {
            self.say(file, &["server", "max_body_bytes"], "hooks could not deliver anything", "at least 1024");
        }
        self.ledger(file);
    }

    fn ledger(&mut self, file: &ConfigFile) {
        let ledger = &self.catalog.main.ledger;
        let on_server = ledger.url.starts_with("postgres://") || ledger.url.starts_with("postgresql://");
        if !on_server && !ledger.url.starts_with("sqlite:") {
            let message = format!("`{}` is not a ledger", without_password(&ledger.url));
            let help =
                "write it like \"sqlite:/var/lib/lastmile/lastmile.db\" or \"postgres://lastmile@db.example.org/lastmile\"";
            self.say(file, &["ledger", "url"], message, help);
        } else if on_server && url::Url::parse(&with_first_host(&ledger.url)).map_or(true, |u| u.password().is_some()) {
            let message = format!("`{}` holds a password, or cannot be read", without_password(&ledger.url));
            let help = "leave the password out and name where it is: password = { file = \"/run/secrets/ledger\" }";
            self.say(file, &["ledger", "url"], message, help);
        }
    }

    fn access(&mut self, file: &ConfigFile) {
        let access = &self.catalog.main.access;
        for (name, token) in &access.tokens {
            if token.sha256.len() != 64 || !token.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                let message = format!("the hash of token `{name}` is not 64 hex characters");
                let help = "put the SHA-256 that `lastmile token` prints here, never the token itself";
                self.say(file, &["access", "tokens", name, "sha256"], message, help);
            }
        }
        let mut seen = std::collections::BTreeMap::new();
        for (name, token) in &access.tokens {
            if let Some(other) = seen.insert(token.sha256.to_lowercase(), name) {
                let message = format!("tokens `{other}` and `{name}` are the same token");
                let help = "make one for each holder: `lastmile token NAME`";
                self.say(file, &["access", "tokens", name, "sha256"], message, help);
            }
        }
        if access.trusted_proxy.as_ref().is_some_and(|proxy| proxy.groups.is_empty()) {
            let help = "say what a group may do, as in groups = [{ group = \"*\", role = \"viewer\" }]";
            self.say(file, &["access", "trusted_proxy"], "the proxy may let in nobody: no group is named", help);
        }
        if access.trusted_proxy.as_ref().is_some_and(|proxy| proxy.from.is_empty()) {
            let help = "list the addresses the proxy connects from; a header is believed from nobody else";
            self.say(file, &["access", "trusted_proxy", "from"], "no proxy is trusted", help);
        }
    }

    fn work(&mut self, file: &ConfigFile) {
        let main = &self.catalog.main;
        let (work, retry) = (&main.work, &main.retry);
        if main.retention.inbox.ms() < 7 * DAY_MS {
            let message = format!("{} is too short: platforms send an event again for days", days(main.retention.inbox.ms()));
            self.say(file, &["retention", "inbox"], message, "at least \"7days\"");
        }
        if main.retention.persons.ms() < DAY_MS {
            self.say(file, &["retention", "persons"], "names would be gone before the work is done", "at least \"1day\"");
        }
        if work.lease.ms() < 10_000 {
            let help = "longer than the longest time-out of any desk; \"2m\" suits most";
            self.say(file, &["work", "lease"], "a call could be taken over while it is still under way", help);
        }
        for (key, span) in [("sync_every", work.sync_every), ("sweep_every", work.sweep_every), ("age_step", work.age_step)] {
            if span.ms() < 1000 {
                self.say(file, &["work", key], format!("`{key}` is too short"), "at least \"1s\"");
            }
        }
        if work.full_pass < work.sync_every {
            let help = "hours, as in \"6h\": it spreads one look at every open ticket over this span";
            self.say(file, &["work", "full_pass"], "the full pass is shorter than one sync", help);
        }
        if retry.first.ms() < 100 || retry.max < retry.first {
            self.say(
                file,
                &["retry"],
                "`first` must be at least 100ms and not longer than `max`",
                "as in first = \"2s\", max = \"15m\"",
            );
        }
        if !(1.0..=10.0).contains(&retry.factor) {
            self.say(file, &["retry", "factor"], format!("{} is no factor to wait by", retry.factor), "between 1 and 10");
        }
    }

    fn defaults(&mut self, file: &ConfigFile) {
        let defaults = &self.catalog.main.defaults;
        let route = Route {
            desk: defaults.desk.clone(),
            admin_group: Some(defaults.admin_group.clone()),
            template: Some(defaults.template.clone()),
            ..Route::default()
        };
        self.route(&route, file, &["defaults"]);
        if let Some(group) = &defaults.fallback_admin_group {
            if group.contains("{{") {
                let help = "it takes what patterns cannot place: give a name from admin-groups.toml";
                self.say(file, &["defaults", "fallback_admin_group"], "the fallback group cannot be a pattern", help);
            } else {
                self.group_is_defined(group, file, &["defaults", "fallback_admin_group"]);
            }
        }
        if let Some(calendar) = &defaults.calendar {
            self.calendar_is_defined(calendar, file, &["defaults", "calendar"]);
        }
        self.targets(&defaults.targets, file, &["defaults", "targets"]);
        self.several_desks(file);
    }

    fn kpi(&mut self, file: &ConfigFile) {
        let least = self.catalog.main.kpi.smallest_group;
        if !(1..=1000).contains(&least) {
            let help = "1 shows every admin group by itself; 5 hides what fewer than five people did";
            self.say(file, &["kpi", "smallest_group"], format!("{least} people are no smallest group"), help);
        }
    }

    fn several_desks(&mut self, file: &ConfigFile) {
        let names = &self.files.desk_names;
        if self.catalog.main.defaults.desk.is_none() && names.len() > 1 {
            let message = format!("there are {} desks ({}) and none is chosen", names.len(), names.join(", "));
            self.say(file, &["defaults"], message, format!("set desk = \"{}\" (or another) in [defaults]", names[0]));
        }
    }

    fn groups(&mut self) {
        let Some(file) = &self.files.groups else { return };
        for (name, group) in &self.catalog.admin_groups {
            if let Some(desk) = &group.desk {
                self.desk_is_defined(desk, file, &[name, "desk"]);
            }
            if let Some(calendar) = &group.calendar {
                self.calendar_is_defined(calendar, file, &[name, "calendar"]);
            }
        }
    }

    fn application(&mut self, application: &Application, file: &ConfigFile) {
        self.targets(&application.targets, file, &["targets"]);
        self.route(&application.route, file, &["route"]);
        let mut names: Vec<&str> = Vec::new();
        for (index, rule) in application.rules.iter().enumerate() {
            let index = index.to_string();
            if names.contains(&rule.name.as_str()) {
                let message = format!("a second rule is named `{}`", rule.name);
                self.say(
                    file,
                    &["rules", &index, "name"],
                    message,
                    "people are told the name of the rule that won: name each once",
                );
            }
            names.push(&rule.name);
            if let Some((attribute, _)) = rule.when.iter().find(|(_, values)| values.is_empty()) {
                let message = format!("rule `{}` can never fit: `{attribute}` has no values", rule.name);
                self.say(
                    file,
                    &["rules", &index, "when", attribute],
                    message,
                    "list the values that fit, or leave the attribute out",
                );
            }
            self.route(&rule.route, file, &["rules", &index, "route"]);
        }
        let mut entitlements: Vec<&str> = Vec::new();
        for (id, route) in &application.entitlements {
            if let Some(other) = entitlements.iter().find(|known| known.eq_ignore_ascii_case(id)) {
                let message = format!("entitlements `{other}` and `{id}` differ only in upper and lower case");
                self.say(file, &["entitlements", id], message, "keep the one that the platform sends");
            }
            entitlements.push(id);
            self.route(route, file, &["entitlements", id]);
        }
    }

    fn route(&mut self, route: &Route, file: &ConfigFile, at: &[&str]) {
        let key = |name| [at, &[name]].concat();
        if let Some(desk) = &route.desk {
            self.desk_is_defined(desk, file, &key("desk"));
        }
        if let Some(group) = &route.admin_group
            && !group.contains("{{")
        {
            self.group_is_defined(group, file, &key("admin_group"));
            let elsewhere = self.catalog.admin_groups.get(group).and_then(|g| g.desk.as_ref());
            if let (Some(desk), Some(elsewhere)) = (&route.desk, elsewhere)
                && desk != elsewhere
            {
                let message = format!("admin group `{group}` is on desk `{elsewhere}`, not on `{desk}`");
                self.say(file, &key("desk"), message, "leave `desk` out here, or choose a group of this desk");
            }
        }
        if let Some(template) = &route.template
            && !self.catalog.templates.contains_key(template)
        {
            let message = format!("there is no ticket template `{template}`");
            let names = || self.catalog.templates.keys().map(String::as_str);
            let help =
                meant(template, names()).unwrap_or_else(|| format!("there are: {}", names().collect::<Vec<_>>().join(", ")));
            self.say(file, &key("template"), message, help);
        }
        if let Some(priority) = route.priority
            && !(0..=3).contains(&priority)
        {
            self.say(file, &key("priority"), format!("{priority} is not a priority"), "0 can wait, 1 normal, 2 soon, 3 urgent");
        }
    }

    fn targets(&mut self, targets: &Targets, file: &ConfigFile, at: &[&str]) {
        for operation in Operation::ALL {
            let Some(target) = targets.of(operation) else { continue };
            let key = [at, &[operation.as_str()]].concat();
            if target.within.ms() < 60_000 {
                let help = "at least \"1m\"; leave the operation out where there is no target".to_owned();
                self.say(
                    file,
                    &key,
                    format!("nobody can {} within {}", operation.as_str().replace('_', " "), target.within),
                    help,
                );
            }
            // What a broken main file says is not known.
            let lacking = self.catalog.main.defaults.calendar.is_none() && !self.files.main_is_broken;
            if target.clock == ClockKind::Business && lacking {
                let help = "set calendar in [defaults] of lastmile.toml, or use clock = \"elapsed\"";
                self.say(file, &key, "working time counts by a calendar, and not every group has one", help);
            }
        }
    }

    fn calendar_is_defined(&mut self, calendar: &str, file: &ConfigFile, keys: &[&str]) {
        if self.files.calendar_names.iter().any(|name| name == calendar) {
            return;
        }
        let help = meant(calendar, self.files.calendar_names.iter().map(String::as_str))
            .unwrap_or_else(|| format!("describe it in calendars/{calendar}.toml"));
        self.say(file, keys, format!("there is no calendar `{calendar}`"), help);
    }

    fn desk_is_defined(&mut self, desk: &str, file: &ConfigFile, keys: &[&str]) {
        if self.files.desk_names.iter().any(|name| name == desk) {
            return;
        }
        let help = meant(desk, self.files.desk_names.iter().map(String::as_str))
            .unwrap_or_else(|| format!("describe it in desks/{desk}.toml"));
        self.say(file, keys, format!("there is no desk `{desk}`"), help);
    }

    fn group_is_defined(&mut self, group: &str, file: &ConfigFile, keys: &[&str]) {
        if self.catalog.admin_groups.contains_key(group) {
            return;
        }
        let help = meant(group, self.catalog.admin_groups.keys().map(String::as_str))
            .unwrap_or_else(|| format!("add [{}] to admin-groups.toml", quoted_key(group)));
        self.say(file, keys, format!("there is no admin group `{group}` in admin-groups.toml"), help);
    }
}

fn meant<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, known).map(|best| format!("did you mean `{best}`?"))
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

fn days(ms: i64) -> String {
    humantime::format_duration(std::time::Duration::from_millis(ms.unsigned_abs())).to_string()
}

/// Of several hosts the first: an address proper names one.
fn with_first_host(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let user = authority.rfind('@').map_or(0, |at| at + 1);
    let first = authority[user..].split(',').next().unwrap_or_default();
    format!("{scheme}://{}{first}{tail}", &authority[..user])
}

/// The scheme alone where an address might carry a password.
fn without_password(address: &str) -> String {
    match address.split_once(':') {
        Some((scheme, _)) => format!("{scheme}:…"),
        None => address.to_owned(),
    }
}
