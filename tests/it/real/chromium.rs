//! A real headless Chromium, driven over the DevTools protocol through a pipe: no port, no further dependency.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No answer takes longer.
const WITHIN: Duration = Duration::from_secs(60);
/// The protocol's pipes are descriptors 3 and 4; the browser's own chatter is dropped.
const ON_PIPES: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

/// One browser with one page. Dropping it ends it.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    calls: u64,
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a page showed that it should not have, and the status of its document.
pub struct Visit {
    /// Of the document.
    pub status: i64,
    /// Console errors, exceptions, policy violations, resources that failed.
    pub complaints: Vec<String>,
}

impl Browser {
    /// Starts it with a new, empty profile. `Err`: why it cannot run here.
    pub fn start() -> Result<Self, String> {
        let profile = tempfile::Builder::new().prefix("lastmile-browser-").tempdir().map_err(|e| e.to_string())?;
        let found = Command::new("sh").args(["-c", "command -v chromium"]).output().map_err(|e| e.to_string())?;
        if !found.status.success() {
            return Err("Chromium is not installed (tests/run installs Debian's chromium)".to_owned());
        }
        let mut child = Command::new("sh")
            .args(["-c", ON_PIPES, "chromium", "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"])
            .args(["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| e.to_string())?;
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for part in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&part) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Self { child, input, messages, session: String::new(), calls: 0, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}));
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        Ok(browser)
    }

    /// Calls a method of the protocol; events that come meanwhile are kept.
    pub fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = self.next(deadline, method);
            if answer["id"] == json!(id) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn next(&self, deadline: Instant, waiting_for: &str) -> Value {
        match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("the browser did not answer within {} s: {waiting_for}", WITHIN.as_secs()),
            Err(RecvTimeoutError::Disconnected) => panic!("the browser ended: {waiting_for}"),
        }
    }

    /// How wide the window is, whether it is a phone's, and which colours its owner prefers.
    pub fn look(&mut self, width: u32, phone: bool, dark: bool) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &media);
    }

    /// Looks at pages as they are printed, on A4.
    pub fn look_printed(&mut self) {
        let metrics = json!({"width": 700, "height": 1000, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        self.call("Emulation.setEmulatedMedia", &json!({"media": "print", "features": []}));
    }

    /// Opens an address and waits until it is loaded.
    pub fn visit(&mut self, url: &str) -> Visit {
        self.events.clear();
        self.call("Page.navigate", &json!({"url": url}));
        self.loaded()
    }

    /// Does something that leads to another page, and waits until that is loaded.
    pub fn follow(&mut self, script: &str) -> Visit {
        self.events.clear();
        self.evaluate(script);
        self.loaded()
    }

    fn loaded(&mut self) -> Visit {
        let deadline = Instant::now() + WITHIN;
        while !self.events.iter().any(|e| e["method"] == "Page.loadEventFired") {
            let event = self.next(deadline, "the page to load");
            self.events.push(event);
        }
        // Asked after the load, so that everything said before has arrived.
        self.evaluate("1");
        let document =
            self.events.iter().rev().find(|e| e["method"] == "Network.responseReceived" && e["params"]["type"] == "Document");
        let status = document.map_or(0, |e| e["params"]["response"]["status"].as_i64().unwrap_or_default());
        Visit { status, complaints: self.events.iter().filter_map(complaint).collect() }
    }

    /// The value of a script, awaited.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let asked = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Presses a key, as a person without a mouse does.
    pub fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.call("Input.dispatchKeyEvent", &event);
        }
    }
}

/// What an event complains of, if it does.
fn complaint(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(format!("exception: {}", params["exceptionDetails"])),
        "Runtime.consoleAPICalled" if matches!(params["type"].as_str(), Some("error" | "warning" | "assert")) => {
            Some(format!("console: {}", params["args"]))
        }
        "Log.entryAdded" if matches!(params["entry"]["level"].as_str(), Some("error" | "warning")) => {
            Some(format!("{}: {} {}", params["entry"]["source"], params["entry"]["text"], params["entry"]["url"]))
        }
        "Network.loadingFailed" if params["canceled"] != json!(true) => Some(format!("not loaded: {params}")),
        "Network.responseReceived" if params["response"]["status"].as_i64().is_some_and(|s| s >= 400) => {
            Some(format!("{} {}", params["response"]["status"], params["response"]["url"]))
        }
        _ => None,
    }
}
