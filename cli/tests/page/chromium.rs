// SPDX-License-Identifier: GPL-2.0-only OR MIT

//! A headless Chromium, spoken to over two pipes: JSON objects that end with a zero byte.
//!
//! Chromium takes commands on descriptor 3 and answers on 4 (`--remote-debugging-pipe`).

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

/// How long a Chromium may live.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Chromium {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it says on standard error.
    said: PathBuf,
    session: Option<String>,
    last: u64,
    errors: Vec<String>,
}

impl Chromium {
    /// Starts `chromium`, or what `DMNS_CHROMIUM` names.
    pub(crate) fn start(folder: &Path) -> Self {
        let program = env::var_os("DMNS_CHROMIUM").unwrap_or_else(|| "chromium".into());
        let said = folder.join("said");
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(
                "exec \"$1\" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                 --disable-extensions --user-data-dir=\"$2\" --window-size=1280,900 \
                 --remote-debugging-pipe about:blank 3<&0 4>&1 </dev/null >&2",
            )
            .arg("sh")
            .args([&program, folder.join("profile").as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&said).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("sh runs");
        let commands = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let group = group(&child);
        thread::spawn(move || {
            thread::sleep(PATIENCE);
            killpg(group, Signal::SIGKILL)
        });
        let mut chromium = Self {
            child,
            commands,
            answers,
            said,
            session: None,
            last: 0,
            errors: Vec::new(),
        };
        let target = chromium.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = chromium.call("Target.attachToTarget", &attach);
        chromium.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            chromium.call(domain, &json!({}));
        }
        chromium
    }

    fn send(&mut self, method: &str, parameters: &Value) -> u64 {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        // If Chromium is gone, no answer comes, and `next` fails.
        let _ = self.commands.write_all(&bytes);
        self.last
    }

    fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.answers.read_until(0, &mut bytes).expect("an answer");
        assert!(
            bytes.pop() == Some(0),
            "no Chromium here, or it is gone, or was stopped after {PATIENCE:?}; \
             scripts/test/page.sh brings one, DMNS_CHROMIUM names one"
        );
        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
        let error = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => Some(&message["params"]["exceptionDetails"]),
            Some("Log.entryAdded") => Some(&message["params"]["entry"]),
            _ => None,
        };
        self.errors.extend(error.map(Value::to_string));
        message
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        let id = self.send(method, parameters);
        loop {
            let mut message = self.next();
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
        }
    }

    pub(crate) fn open(&mut self, page: &Path) {
        let url = format!("file://{}", page.display());
        let id = self.send("Page.navigate", &json!({ "url": url }));
        let (mut answered, mut loaded) = (false, false);
        while !(answered && loaded) {
            let message = self.next();
            answered |= message["id"] == id;
            loaded |= message["method"] == "Page.loadEventFired";
        }
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let result = self.call("Runtime.evaluate", &parameters);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    pub(crate) fn text(&mut self, expression: &str) -> String {
        let value = self.evaluate(expression);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{expression}: {value}"))
            .to_owned()
    }

    pub(crate) fn number(&mut self, expression: &str) -> f64 {
        let value = self.evaluate(expression);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{expression}: {value}"))
    }

    /// Clicks with the mouse into the middle of the element that `expression` is.
    pub(crate) fn click(&mut self, expression: &str) {
        let place = self.evaluate(&format!(
            "(() => {{ const e = {expression}; e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let parameters = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &parameters);
        }
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    pub(crate) fn screenshot(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        base64(picture["data"].as_str().expect("a picture"))
    }

    /// What went wrong on the page.
    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = killpg(group(&self.child), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let said = fs::read(&self.said).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let lines: Vec<&str> = said.lines().collect();
            let end = &lines[lines.len().saturating_sub(20)..];
            eprintln!("Chromium's last words:\n{}", end.join("\n"));
        }
    }
}

/// Debian's `chromium` is a script that waits for the program: their group is both.
fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().expect("a process"))
}

fn base64(text: &str) -> Vec<u8> {
    let value = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|&b| b != b'=').map(value).collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let bits = group
            .iter()
            .fold(0u32, |bits, &d| (bits << 6) | u32::from(d))
            << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
