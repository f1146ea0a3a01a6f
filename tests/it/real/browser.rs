//! The demo's pages in a real browser: no error, no policy violation, usable on a phone, in the dark, without a mouse,
//! and by people who hear pages instead of seeing them (axe-core finds nothing serious).

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lastmile::http::signature::sign_standard;
use lastmile::model::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::chromium::{Browser, Visit};
use super::skipped;
use crate::program::free_ports;

/// Where tests/run puts it.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/node_modules/axe-core/axe.min.js");
const FIND_SERIOUS: &str = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations
    .filter(v => ['serious', 'critical'].includes(v.impact))
    .map(v => v.id + ': ' + v.help + ' at ' + v.nodes.map(n => n.target.join(' ')).join(', ')))";
/// Pages of figures.
const FIGURES: [&str; 7] = [
    "/kpi/application?days=90",
    "/kpi/application?days=90&application=sap-erp",
    "/kpi/group?days=90",
    "/kpi/approval?days=90",
    "/kpi/leavers?days=90",
    "/kpi/backlog?days=90",
    "/kpi/assignments?which=late&days=90",
];
/// Links followed at most: the demo's list alone has fifty.
const MOST_LINKS: usize = 80;

/// The real binary's demo, with a state of its own.
struct Demo {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports(4);
        let child = Command::new(env!("CARGO_BIN_EXE_lastmile"))
            .args(["demo", "--port", &port.to_string(), "--state"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let demo = Self { child, folder, url: format!("http://127.0.0.1:{port}") };
        demo.until("its past is loaded and a ticket is open", || {
            let past = demo.read("/api/v1/kpi?days=90")?["all"]["provisioning"]["n"].as_i64()? > 1_000;
            let open = !demo.read("/api/v1/assignments?state=open")?["assignments"].as_array()?.is_empty();
            (past && open).then_some(())
        });
        demo
    }

    fn until<T>(&self, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            if let Some(found) = check() {
                return found;
            }
            assert!(Instant::now() < deadline, "not within 90 s: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn read(&self, path: &str) -> Option<Value> {
        let out = Command::new("curl").args(["-fs", &format!("{}{path}", self.url)]).output().ok()?;
        serde_json::from_slice(&out.stdout).ok()
    }

    /// An authentic event that no mapping understands.
    fn send_nonsense(&self) {
        let secret = std::fs::read_to_string(self.folder.path().join("config/secrets/platform-hook")).unwrap();
        let at = self.read("/api/v1/overview").unwrap()["at"].as_i64().unwrap() / 1000;
        let body = r#"{"type":"order.approved","data":{"id":"REQ-ODD","operation":"dance"}}"#;
        let secret = SecretString::from(secret.trim());
        let signature = sign_standard(&secret, "evt-odd", Timestamp(at * 1000), body.as_bytes()).unwrap();
        let headers = [
            "content-type: application/json".to_owned(),
            "webhook-id: evt-odd".to_owned(),
            format!("webhook-timestamp: {at}"),
            format!("webhook-signature: {signature}"),
        ];
        let mut curl = Command::new("curl");
        curl.args(["-fsS", "-X", "POST", "-d", body]).args(headers.iter().flat_map(|h| ["-H", h.as_str()]));
        let sent = curl.arg(format!("{}/hooks/iga", self.url)).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }
}

fn fine(visit: &Visit, page: &str) {
    assert_eq!(visit.status, 200, "{page}");
    assert!(visit.complaints.is_empty(), "{page}: {:#?}", visit.complaints);
}

/// Fits the window, and axe finds nothing serious.
fn usable(browser: &mut Browser, axe: &str, page: &str) {
    let wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "{page} can be scrolled sideways");
    // What is folded away must be usable once it is opened.
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })");
    let wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "{page} can be scrolled sideways when all is open");
    browser.evaluate(axe);
    let serious = browser.evaluate(FIND_SERIOUS);
    assert_eq!(serious, serde_json::json!([]), "{page}");
}

fn links(browser: &mut Browser) -> Vec<String> {
    let found = browser.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href.split('#')[0])");
    serde_json::from_value(found).unwrap()
}

#[test]
fn the_demos_pages_work_in_a_real_browser() {
    if !Path::new(AXE).exists() {
        return skipped("axe-core is not installed (tests/run installs it from npm into target/npm)");
    }
    let mut browser = match Browser::start() {
        Ok(browser) => browser,
        Err(why) => return skipped(&why),
    };
    let axe = std::fs::read_to_string(AXE).unwrap();
    let demo = Demo::start();
    demo.send_nonsense();
    let one = demo.read("/api/v1/assignments").unwrap()["assignments"][0]["id"].as_str().unwrap().to_owned();
    let pages = [
        "/",
        "/assignments",
        &format!("/assignments/{one}"),
        "/operations",
        "/kpi",
        "/kpi?days=7&application=sap-erp",
        "/kpi?days=365",
    ];
    let pages = pages.into_iter().chain(FIGURES).collect::<Vec<_>>();
    let odd_pages = ["/assignments?q=nothing", "/sign-in", "/docs/errors", "/no-such-page"];
    let mut to_follow = BTreeSet::new();
    for (width, phone, dark) in [(1280, false, false), (1280, false, true), (390, true, false), (390, true, true)] {
        browser.look(width, phone, dark);
        for path in pages.iter().copied().chain(odd_pages) {
            let page = format!("{path} {width} wide, {}", if dark { "dark" } else { "light" });
            let visit = browser.visit(&format!("{}{path}", demo.url));
            if path == "/no-such-page" {
                assert_eq!(visit.status, 404);
            } else {
                fine(&visit, &page);
            }
            to_follow.extend(links(&mut browser).into_iter().filter(|l| l.starts_with(&demo.url)));
            usable(&mut browser, &axe, &page);
        }
    }
    assert!(to_follow.len() > 20, "the pages link to each other: {to_follow:?}");
    for link in to_follow.iter().take(MOST_LINKS) {
        fine(&browser.visit(link), link);
    }
    figures_are_filtered_and_lead_to_what_is_behind_them(&mut browser, &demo);
    printed_pages_hold_figures_and_no_navigation(&mut browser, &demo);
    browser.look(1280, false, false);
    the_first_key_skips_to_the_content(&mut browser, &demo);
    an_operator_throws_the_odd_event_away(&mut browser, &demo);
}

fn figures_are_filtered_and_lead_to_what_is_behind_them(browser: &mut Browser, demo: &Demo) {
    browser.look(390, true, true);
    fine(&browser.visit(&format!("{}/kpi", demo.url)), "/kpi");
    let filtered = browser.follow(
        "(() => { document.querySelector('select[name=days]').value = '90';
            document.querySelector('select[name=application]').value = 'sap-erp';
            document.querySelector('form.filters button').click(); })()",
    );
    fine(&filtered, "figures of one application");
    let charts = browser.evaluate("document.querySelectorAll('svg.chart[role=img] > title').length");
    assert!(charts.as_i64().unwrap() >= 3, "{charts}");
    let n = browser.evaluate("document.querySelector('#trend tbody td a').innerText");
    fine(&browser.follow("document.querySelector('#trend tbody td a').click()"), "what is behind a number");
    let rows = browser.evaluate("document.querySelectorAll('table.list tbody tr').length");
    assert_eq!(rows.to_string(), n.as_str().unwrap(), "as many as the number said");
    let others = browser.evaluate(
        "[...document.querySelectorAll('table.list tbody td:nth-child(2) small')].filter(s => !/sap/i.test(s.innerText)).length",
    );
    assert_eq!(others, 0, "the filter is kept");
}

fn printed_pages_hold_figures_and_no_navigation(browser: &mut Browser, demo: &Demo) {
    browser.look_printed();
    for path in ["/kpi?days=90"].into_iter().chain(FIGURES) {
        fine(&browser.visit(&format!("{}{path}", demo.url)), path);
        let seen = "[...document.querySelectorAll('nav, form, .skip')].filter(e => e.checkVisibility()).length";
        assert_eq!(browser.evaluate(seen), 0, "{path}: navigation is not printed");
        let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.evaluate(wide), 0, "{path} is wider than the paper");
        let cut = "[...document.querySelectorAll('svg.chart, table')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).length";
        assert_eq!(browser.evaluate(cut), 0, "{path}: something is cut off");
        let heads = "[...document.querySelectorAll('thead')].every(h => getComputedStyle(h).display === 'table-header-group')";
        assert_eq!(browser.evaluate(heads), true, "{path}: heads are repeated");
    }
}

fn the_first_key_skips_to_the_content(browser: &mut Browser, demo: &Demo) {
    browser.visit(&demo.url);
    browser.press("Tab", 9);
    assert_eq!(browser.evaluate("document.activeElement.className"), "skip");
    assert_eq!(browser.evaluate("document.activeElement.getBoundingClientRect().left >= 0"), true, "it is seen when focused");
}

fn an_operator_throws_the_odd_event_away(browser: &mut Browser, demo: &Demo) {
    fine(&browser.visit(&format!("{}/operations", demo.url)), "/operations");
    let text = browser.evaluate("document.querySelector('#quarantined').innerText");
    assert!(text.as_str().unwrap().contains("evt-odd"), "{text}");
    let visit = browser.follow(
        "(() => { const away = [...document.querySelectorAll('button')].find(b => b.textContent.startsWith('Throw evt-odd'));
            away.closest('details').open = true; away.click(); })()",
    );
    fine(&visit, "the answer to the form");
    assert_eq!(browser.evaluate("document.querySelector('[role=status]').innerText"), "Done.");
    let text = browser.evaluate("document.querySelector('#quarantined').innerText");
    assert!(!text.as_str().unwrap().contains("evt-odd"), "{text}");
    assert_eq!(demo.read("/api/v1/overview").unwrap()["quarantined"], 0);
}
