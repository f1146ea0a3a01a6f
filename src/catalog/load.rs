//! Reads the configuration folder whole. Every problem of every file is collected, sorted and told at once.
//!
//! ```text
//! lastmile.toml   admin-groups.toml   applications/*.toml   desks/*.toml   sources/*.toml   calendars/*.toml   calendars/*.ics
//! templates/tickets/*.hbs   templates/partials/*.hbs
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::calendar::{Calendar, CalendarFile};
use super::file::nearest;
use super::{AdminGroup, Application, Catalog, ConfigFile, EdgeFile, MainFile, Problem, Problems, TemplateSource};
use super::{builtin, check};

/// The main file's name.
pub const MAIN: &str = "lastmile.toml";
/// The admin groups' file name.
pub const GROUPS: &str = "admin-groups.toml";
/// Relative path and text of each file.
type Texts = Vec<(PathBuf, String)>;

const FOLDERS: [&str; 4] = ["applications", "calendars", "desks", "sources"];
const TEMPLATE_FOLDERS: [&str; 2] = ["templates/tickets", "templates/partials"];

/// What was read, with the files it was read from, so that checks can name lines.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// `admin-groups.toml`, where it was read.
    pub groups: Option<ConfigFile>,
    /// The main file is there, but cannot be parsed: what it says is not known.
    pub main_is_broken: bool,
    /// Names of desks, also of those whose file cannot be parsed.
    pub desk_names: Vec<String>,
    /// Names of calendars, likewise.
    pub calendar_names: Vec<String>,
}

impl Catalog {
    /// Reads and checks the configuration folder.
    ///
    /// # Errors
    /// Every problem found, sorted by file and line.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        settled(Self::gather(folder))
    }

    /// As [`Catalog::load`], from texts by their path relative to `folder`. A missing main file means its defaults.
    ///
    /// # Errors
    /// Every problem found, sorted by file and line.
    pub fn from_files(folder: &Path, files: Texts) -> Result<Self, Problems> {
        settled(Self::gather_files(folder, files))
    }

    /// The catalog as far as it can be read, and every problem found: for `check`, which adds those of the templates.
    #[must_use]
    pub fn gather(folder: &Path) -> (Self, Vec<Problem>) {
        match read_folder(folder) {
            Ok((files, mut problems)) => {
                let (catalog, more) = Self::gather_files(folder, files);
                problems.extend(more);
                (catalog, sorted(problems))
            }
            Err(problem) => (Self::gather_files(folder, Vec::new()).0, vec![problem]),
        }
    }

    /// As [`Catalog::gather`], from texts.
    #[must_use]
    pub fn gather_files(folder: &Path, files: Texts) -> (Self, Vec<Problem>) {
        let mut reader = Reader::new(folder);
        for (path, text) in files {
            reader.take(&path.to_string_lossy(), &text);
        }
        let (catalog, files, mut problems) = reader.finish();
        problems.extend(check::cross_check(&catalog, &files));
        (catalog, sorted(problems))
    }
}

fn settled((catalog, problems): (Catalog, Vec<Problem>)) -> Result<Catalog, Problems> {
    if problems.is_empty() { Ok(catalog) } else { Err(Problems(problems)) }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort();
    problems.dedup();
    problems
}

/// Sorts texts into the catalog's places.
struct Reader {
    catalog: Catalog,
    files: Files,
    problems: Vec<Problem>,
    digested: BTreeMap<String, String>,
    calendars: Vec<ConfigFile>,
    /// iCalendar files by name: they are read with the calendars that name them.
    ics: BTreeMap<String, ConfigFile>,
}

impl Reader {
    fn new(folder: &Path) -> Self {
        let catalog = Catalog {
            version: String::new(),
            main: MainFile::default(),
            main_file: None,
            applications: BTreeMap::new(),
            application_files: BTreeMap::new(),
            admin_groups: BTreeMap::new(),
            calendars: BTreeMap::new(),
            desks: BTreeMap::new(),
            sources: BTreeMap::new(),
            templates: BTreeMap::new(),
            partials: BTreeMap::new(),
            folder: folder.to_owned(),
        };
        let mut reader = Self {
            catalog,
            files: Files::default(),
            problems: Vec::new(),
            digested: BTreeMap::new(),
            calendars: Vec::new(),
            ics: BTreeMap::new(),
        };
        for (path, text) in builtin::ticket_templates() {
            let origin = format!("templates/{path} (built in)");
            reader.template(&path, origin, &text);
        }
        reader
    }

    fn take(&mut self, path: &str, text: &str) {
        let file = ConfigFile::from_text(&self.catalog.folder.join(path), text);
        match path.split_once('/') {
            None if path == MAIN => self.main(file),
            None if path == GROUPS => self.groups(file),
            Some(("applications", name)) if is_toml(name) => self.application(file),
            Some(("calendars", name)) if is_toml(name) => {
                self.files.calendar_names.push(file.stem());
                self.calendars.push(file);
            }
            Some(("calendars", name)) if name.ends_with(".ics") && !name.contains('/') => {
                drop(self.ics.insert(name.to_owned(), file))
            }
            Some(("desks", name)) if is_toml(name) => {
                self.files.desk_names.push(file.stem());
                if let Some(edge) = self.edge(file) {
                    self.digested.insert(path.to_owned(), text.to_owned());
                    self.catalog.desks.insert(edge.file.stem(), edge);
                }
            }
            Some(("sources", name)) if is_toml(name) => {
                if let Some(edge) = self.edge(file) {
                    self.catalog.sources.insert(edge.file.stem(), edge);
                }
            }
            Some(("templates", rest)) if rest.ends_with(".hbs") && rest.split('/').count() == 2 => {
                let origin = file.path().display().to_string();
                self.template(rest, origin, text);
            }
            _ => self.problems.push(unread(&file, path)),
        }
    }

    fn main(&mut self, file: ConfigFile) {
        if let Some(main) = self.parse::<MainFile>(&file) {
            self.catalog.main = main;
            self.digested.insert(MAIN.to_owned(), file.text().to_owned());
            self.catalog.main_file = Some(file);
        } else {
            self.files.main_is_broken = true;
        }
    }

    fn groups(&mut self, file: ConfigFile) {
        if let Some(groups) = self.parse::<BTreeMap<String, AdminGroup>>(&file) {
            self.catalog.admin_groups = groups;
            self.digested.insert(GROUPS.to_owned(), file.text().to_owned());
        }
        self.files.groups = Some(file);
    }

    fn application(&mut self, file: ConfigFile) {
        let Some(mut application) = self.parse::<Application>(&file) else { return };
        if application.id.is_empty() {
            application.id = file.stem();
        }
        let id = application.id.clone();
        let clash = self.catalog.application_files.iter().find(|(known, _)| known.eq_ignore_ascii_case(&id));
        if let Some((known, first)) = clash {
            let message = format!("application `{id}` is already described in {} (as `{known}`)", first.path().display());
            let help = "one file per application; give one of them another `id`".to_owned();
            self.problems.push(file.problem(&["id"], message, Some(help)));
            return;
        }
        self.digested.insert(format!("applications/{}", file.stem()), file.text().to_owned());
        self.catalog.application_files.insert(id.clone(), file);
        self.catalog.applications.insert(id, application);
    }

    fn edge(&mut self, file: ConfigFile) -> Option<EdgeFile> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let stem = file.stem();
        if !is_name(&stem) {
            let help = "the file's name is the name used everywhere: lower-case letters, digits and `-`".to_owned();
            self.problems.push(file.problem(&[], format!("`{stem}` cannot be a name"), Some(help)));
            return None;
        }
        let kind = self.parse::<Kind>(&file)?.kind;
        Some(EdgeFile { kind, file })
    }

    fn template(&mut self, path: &str, origin: String, text: &str) {
        let Some((folder, name)) = path.split_once('/') else { return };
        let name = name.trim_end_matches(".hbs").to_owned();
        match folder {
            "tickets" => {
                self.catalog.templates.insert(name, TemplateSource { origin, text: text.to_owned(), version: digest(&[text]) });
            }
            "partials" => {
                self.catalog.partials.insert(name, text.to_owned());
            }
            _ => {
                let file = ConfigFile::from_text(Path::new(&origin), text);
                self.problems.push(unread(&file, &format!("templates/{path}")));
                return;
            }
        }
        self.digested.insert(format!("templates/{path}"), text.to_owned());
    }

    fn parse<T: DeserializeOwned>(&mut self, file: &ConfigFile) -> Option<T> {
        file.parse_all().map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn calendar(&mut self, file: &ConfigFile) {
        let Some(written) = self.parse::<CalendarFile>(file) else { return };
        match Calendar::of(file, &written, &self.ics) {
            Ok(calendar) => drop(self.catalog.calendars.insert(calendar.name.clone(), calendar)),
            Err(problems) => self.problems.extend(problems),
        }
    }

    fn finish(mut self) -> (Catalog, Files, Vec<Problem>) {
        for file in std::mem::take(&mut self.calendars) {
            self.calendar(&file);
        }
        let parts: Vec<&str> = self.digested.iter().flat_map(|(path, text)| [path.as_str(), text.as_str()]).collect();
        self.catalog.version = digest(&parts);
        (self.catalog, self.files, self.problems)
    }
}

/// A desk's or source's name: safe in addresses.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_toml(name: &str) -> bool {
    name.ends_with(".toml") && !name.contains('/')
}

fn unread(file: &ConfigFile, path: &str) -> Problem {
    let head = path.split('/').next().unwrap_or_default();
    let known = FOLDERS.into_iter().chain([MAIN, GROUPS, "templates"]);
    let help = match nearest(head, known) {
        Some(best) if best != head => format!("did you mean `{best}`?"),
        _ => format!(
            "files are: {MAIN}, {GROUPS}, applications/, calendars/, desks/, sources/, templates/tickets/, templates/partials/"
        ),
    };
    file.problem(&[], "nothing reads this file", Some(help))
}

/// First 12 hex characters of the digest over parts and their bounds.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..6])
}

fn read_folder(folder: &Path) -> Result<(Texts, Vec<Problem>), Problem> {
    let trouble = |path: &Path, message: String, help: &str| Problem {
        file: path.to_owned(),
        line: 0,
        message,
        help: Some(help.to_owned()),
    };
    if !folder.join(MAIN).is_file() {
        let message = format!("there is no {MAIN} in this folder");
        return Err(trouble(folder, message, "name the configuration folder, or copy the shipped `config/` to start from"));
    }
    let mut texts = Vec::new();
    let mut problems = Vec::new();
    for (name, path, is_folder) in
        entries(folder).map_err(|e| trouble(folder, format!("cannot be listed: {e}"), "check its rights"))?
    {
        if is_folder {
            let known = FOLDERS.contains(&name.as_str()) || matches!(name.as_str(), "templates" | "secrets");
            if let (false, Some(best)) = (known, nearest(&name, FOLDERS.into_iter().chain(["templates"]))) {
                problems.push(trouble(&path, "nothing reads this folder".to_owned(), &format!("did you mean `{best}`?")));
            }
        } else if is_toml(&name) {
            read_into(&path, &name, &mut texts, &mut problems);
        }
    }
    for below in FOLDERS.into_iter().chain(TEMPLATE_FOLDERS) {
        let path = folder.join(below);
        if !path.is_dir() {
            continue;
        }
        let endings: &[&str] = match below {
            "calendars" => &[".toml", ".ics"],
            below if below.starts_with("templates") => &[".hbs"],
            _ => &[".toml"],
        };
        match entries(&path) {
            Ok(found) => {
                for (name, path, is_folder) in found {
                    if !is_folder && endings.iter().any(|ending| name.ends_with(ending)) {
                        read_into(&path, &format!("{below}/{name}"), &mut texts, &mut problems);
                    }
                }
            }
            Err(e) => problems.push(trouble(&path, format!("cannot be listed: {e}"), "check its rights")),
        }
    }
    Ok((texts, problems))
}

fn read_into(path: &Path, relative: &str, texts: &mut Texts, problems: &mut Vec<Problem>) {
    match ConfigFile::read(path) {
        Ok(file) => texts.push((PathBuf::from(relative), file.text().to_owned())),
        Err(problem) => problems.push(problem),
    }
}

/// Name, path and whether it is a folder; sorted, hidden ones left out.
fn entries(folder: &Path) -> std::io::Result<Vec<(String, PathBuf, bool)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with('.') {
            let is_folder = path.is_dir();
            all.push((name, path, is_folder));
        }
    }
    all.sort();
    Ok(all)
}
