//! Reads the configuration folder, checks it whole, and reports every problem at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::file::nearest;
use super::{AdminGroup, Application, Catalog, ConfigFile, EdgeFile, MainFile, Problem, Problems, Route, TemplateSource};

/// Templates in the binary; a same-named file beside the configuration overrides one.
#[derive(RustEmbed)]
#[folder = "templates/"]
struct BuiltIn;

#[derive(serde::Deserialize)]
struct Kind {
    kind: String,
}

impl Catalog {
    /// Loads and checks a folder.
    ///
    /// # Errors
    /// Every problem found, with file, line and what was probably meant.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        let mut files = Vec::new();
        let mut problems = Vec::new();
        for sub in ["", "applications", "desks", "sources", "templates/tickets", "templates/partials"] {
            read_folder(folder, sub, &mut files, &mut problems);
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Self::from_files(folder, files)
    }

    /// Takes files given as relative path and text: the sandbox's configuration, and tests.
    ///
    /// # Errors
    /// As [`Catalog::load`].
    pub fn from_files(folder: &Path, mut files: Vec<(PathBuf, String)>) -> Result<Self, Problems> {
        files.sort();
        let mut loader = Loader::default();
        for (path, text) in &files {
            loader.take(folder, path, text);
        }
        let catalog = loader.catalog(folder, version(&files));
        let mut problems = loader.problems;
        cross_check(&catalog, &loader.places, &mut problems);
        if problems.is_empty() {
            return Ok(catalog);
        }
        problems.sort();
        problems.dedup();
        Err(Problems(problems))
    }
}

fn read_folder(folder: &Path, sub: &str, files: &mut Vec<(PathBuf, String)>, problems: &mut Vec<Problem>) {
    let here = folder.join(sub);
    let entries = match std::fs::read_dir(&here) {
        Ok(entries) => entries,
        Err(error) if sub.is_empty() => {
            problems.push(Problem {
                file: here,
                line: 0,
                message: format!("the configuration folder cannot be read: {error}"),
                help: None,
            });
            return;
        }
        // Every other folder may be absent.
        Err(_) => return,
    };
    let wanted = if sub.starts_with("templates") { "hbs" } else { "toml" };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_file() && path.extension().is_some_and(|e| e == wanted) {
            match std::fs::read_to_string(&path) {
                Ok(text) => files.push((Path::new(sub).join(entry.file_name()), text)),
                Err(error) => {
                    problems.push(Problem { file: path, line: 0, message: format!("cannot be read: {error}"), help: None })
                }
            }
        }
    }
}

fn digest(text: &[u8]) -> String {
    hex::encode(&Sha256::digest(text)[..6])
}

fn version(files: &[(PathBuf, String)]) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        hash.update(path.to_string_lossy().as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..6])
}

/// Where names were written, for messages.
#[derive(Default)]
struct Places {
    main: Option<ConfigFile>,
    applications: BTreeMap<String, ConfigFile>,
    groups: Option<ConfigFile>,
}

#[derive(Default)]
struct Loader {
    main: MainFile,
    applications: BTreeMap<String, Application>,
    groups: BTreeMap<String, AdminGroup>,
    desks: BTreeMap<String, EdgeFile>,
    sources: BTreeMap<String, EdgeFile>,
    templates: BTreeMap<String, TemplateSource>,
    partials: BTreeMap<String, String>,
    places: Places,
    problems: Vec<Problem>,
}

impl Loader {
    fn take(&mut self, folder: &Path, path: &Path, text: &str) {
        let file = ConfigFile::from_text(&folder.join(path), text);
        let stem = file.stem();
        let parent = path.parent().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        match (parent.as_str(), stem.as_str()) {
            ("", "lastmile") => {
                self.main = self.parsed(&file);
                self.places.main = Some(file);
            }
            ("", "admin-groups") => {
                self.groups = self.parsed(&file);
                self.places.groups = Some(file);
            }
            ("", other) => {
                let help = nearest(other, ["lastmile", "admin-groups"]).map(|n| format!("did you mean {n}.toml?"));
                self.problems.push(file.problem(&[], "this file is not part of a configuration", help));
            }
            ("applications", _) => self.application(file, stem),
            ("desks", _) => self.edge(&file, stem, true),
            ("sources", _) => self.edge(&file, stem, false),
            ("templates/tickets", _) => {
                let source = TemplateSource {
                    origin: file.path().display().to_string(),
                    text: text.to_owned(),
                    version: digest(text.as_bytes()),
                };
                self.templates.insert(stem, source);
            }
            ("templates/partials", _) => {
                self.partials.insert(stem, text.to_owned());
            }
            _ => {}
        }
    }

    fn parsed<T: serde::de::DeserializeOwned + Default>(&mut self, file: &ConfigFile) -> T {
        file.parse().unwrap_or_else(|problem| {
            self.problems.push(problem);
            T::default()
        })
    }

    fn application(&mut self, file: ConfigFile, stem: String) {
        let mut application: Application = self.parsed(&file);
        if application.id.is_empty() {
            application.id = stem;
        }
        let id = application.id.clone();
        if let Some(other) = self.places.applications.get(&id) {
            let message = format!("the application id `{id}` is already used by {}", other.path().display());
            self.problems.push(file.problem(&["id"], message, None));
        }
        self.places.applications.insert(id.clone(), file);
        self.applications.insert(id, application);
    }

    fn edge(&mut self, file: &ConfigFile, name: String, desk: bool) {
        if !is_name(&name) {
            self.problems.push(file.problem(&[], "the file's name becomes a name in addresses: use only a-z, 0-9 and -", None));
        }
        // Its adapter refuses unknown keys; here only the kind is read.
        match file.parse::<Kind>() {
            Ok(Kind { kind }) => {
                let edge = EdgeFile { kind, file: file.clone() };
                if desk {
                    self.desks.insert(name, edge)
                } else {
                    self.sources.insert(name, edge)
                };
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    fn catalog(&mut self, folder: &Path, version: String) -> Catalog {
        for path in BuiltIn::iter() {
            let Some(file) = BuiltIn::get(&path) else { continue };
            let Some(name) = Path::new(path.as_ref()).file_stem().map(|s| s.to_string_lossy().into_owned()) else { continue };
            let text = String::from_utf8_lossy(&file.data).into_owned();
            if path.starts_with("tickets/") {
                let origin = format!("templates/{path} (built in)");
                let version = digest(text.as_bytes());
                self.templates.entry(name).or_insert(TemplateSource { origin, text, version });
            } else if path.starts_with("partials/") {
                self.partials.entry(name).or_insert(text);
            }
        }
        Catalog {
            version,
            main: self.main.clone(),
            applications: std::mem::take(&mut self.applications),
            admin_groups: std::mem::take(&mut self.groups),
            desks: std::mem::take(&mut self.desks),
            sources: std::mem::take(&mut self.sources),
            templates: std::mem::take(&mut self.templates),
            partials: std::mem::take(&mut self.partials),
            folder: folder.to_owned(),
        }
    }
}

/// `[a-z0-9-]`, not empty.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn cross_check(catalog: &Catalog, places: &Places, problems: &mut Vec<Problem>) {
    let nowhere = ConfigFile::from_text(&catalog.folder.join("lastmile.toml"), "");
    let main = places.main.as_ref().unwrap_or(&nowhere);
    check_main(catalog, main, problems);
    let names = Names {
        desks: catalog.desks.keys().map(String::as_str).collect(),
        groups: catalog.admin_groups.keys().map(String::as_str).collect(),
        templates: catalog.templates.keys().map(String::as_str).collect(),
    };
    let defaults = &catalog.main.defaults;
    names.desk(main, &["defaults", "desk"], defaults.desk.as_deref(), problems);
    names.template(main, &["defaults", "template"], Some(&defaults.template), problems);
    names.group(main, &["defaults", "admin_group"], Some(&defaults.admin_group), problems);
    names.group(main, &["defaults", "fallback_admin_group"], defaults.fallback_admin_group.as_deref(), problems);
    if let Some(file) = &places.groups {
        for (name, group) in &catalog.admin_groups {
            names.desk(file, &[name, "desk"], group.desk.as_deref(), problems);
        }
    }
    for (id, application) in &catalog.applications {
        let Some(file) = places.applications.get(id) else { continue };
        names.route(file, &["route"], &application.route, problems);
        for (n, rule) in application.rules.iter().enumerate() {
            names.route(file, &["rules", &n.to_string(), "route"], &rule.route, problems);
        }
        for (entitlement, route) in &application.entitlements {
            names.route(file, &["entitlements", entitlement], route, problems);
        }
        let has_desk = application.route.desk.is_some() || defaults.desk.is_some() || catalog.desks.len() == 1;
        if !has_desk && !catalog.desks.is_empty() {
            problems.push(file.problem(
                &["route"],
                "no desk: there are several, and neither this file nor [defaults] names one",
                None,
            ));
        }
    }
}

fn check_main(catalog: &Catalog, file: &ConfigFile, problems: &mut Vec<Problem>) {
    let main = &catalog.main;
    if !is_name(&main.instance.name) {
        let help = Some("use only a-z, 0-9 and -: the name is part of every correlation key".to_owned());
        problems.push(file.problem(
            &["instance", "name"],
            format!("`{}` cannot be an instance's name", main.instance.name),
            help,
        ));
    }
    match main.server.listen.parse::<SocketAddr>() {
        Err(_) => {
            let help = Some("write an address and a port, like \"127.0.0.1:8480\"".to_owned());
            problems.push(file.problem(
                &["server", "listen"],
                format!("`{}` is not an address to listen on", main.server.listen),
                help,
            ));
        }
        Ok(address) if !address.ip().is_loopback() && !main.access.is_configured() => {
            let help = Some("add a token under [access.tokens] or [access.trusted_proxy], or listen on 127.0.0.1".to_owned());
            problems.push(file.problem(&["server", "listen"], "listening beyond this machine without access configured", help));
        }
        Ok(_) => {}
    }
    if !main.ledger.url.starts_with("sqlite:") {
        problems.push(file.problem(&["ledger", "url"], "the ledger's address starts with `sqlite:`", None));
    }
    if main.retention.inbox.ms() < 7 * 86_400_000 {
        let help = Some("senders repeat for up to three days, and operators look after a weekend".to_owned());
        problems.push(file.problem(&["retention", "inbox"], "bodies of events must be kept for at least 7 days", help));
    }
    for (name, token) in &main.access.tokens {
        let hex = token.sha256.len() == 64 && token.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex {
            let help = Some("`lastmile token` makes a token and prints its hash".to_owned());
            problems.push(file.problem(&["access", "tokens", name, "sha256"], "this is not a SHA-256 in hex (64 digits)", help));
        }
    }
    for (key, span) in [("sync_every", main.work.sync_every), ("lease", main.work.lease), ("full_pass", main.work.full_pass)] {
        if span.ms() <= 0 {
            problems.push(file.problem(&["work", key], "must be longer than nothing", None));
        }
    }
}

struct Names<'a> {
    desks: BTreeSet<&'a str>,
    groups: BTreeSet<&'a str>,
    templates: BTreeSet<&'a str>,
}

impl Names<'_> {
    fn route(&self, file: &ConfigFile, at: &[&str], route: &Route, problems: &mut Vec<Problem>) {
        let place = |key: &'static str| [at, &[key]].concat();
        self.desk(file, &place("desk"), route.desk.as_deref(), problems);
        self.group(file, &place("admin_group"), route.admin_group.as_deref(), problems);
        self.template(file, &place("template"), route.template.as_deref(), problems);
        if route.priority.is_some_and(|p| !(0..=3).contains(&p)) {
            problems.push(file.problem(&place("priority"), "a priority is 0 (can wait) to 3 (urgent)", None));
        }
    }

    fn desk(&self, file: &ConfigFile, at: &[&str], name: Option<&str>, problems: &mut Vec<Problem>) {
        undefined(file, at, "desk", name, &self.desks, "desks/", problems);
    }

    fn template(&self, file: &ConfigFile, at: &[&str], name: Option<&str>, problems: &mut Vec<Problem>) {
        undefined(file, at, "template", name, &self.templates, "templates/tickets/", problems);
    }

    /// A pattern names the desk's group by convention; a plain name must be defined.
    fn group(&self, file: &ConfigFile, at: &[&str], name: Option<&str>, problems: &mut Vec<Problem>) {
        let name = name.filter(|n| !n.contains("{{"));
        undefined(file, at, "admin group", name, &self.groups, "admin-groups.toml", problems);
    }
}

fn undefined(
    file: &ConfigFile,
    at: &[&str],
    what: &str,
    name: Option<&str>,
    known: &BTreeSet<&str>,
    place: &str,
    problems: &mut Vec<Problem>,
) {
    let Some(name) = name.filter(|n| !known.contains(n)) else { return };
    let help = nearest(name, known.iter().copied())
        .map_or_else(|| format!("define it in {place}"), |near| format!("did you mean `{near}`? Otherwise define it in {place}"));
    problems.push(file.problem(at, format!("there is no {what} `{name}`"), Some(help)));
}
