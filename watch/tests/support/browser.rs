//! A real Chromium, controlled through the DevTools protocol over a pipe.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{Folder, PATIENCE};

/// A browser with one page. Dropping it ends the browser.
pub(crate) struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    last_id: u64,
    /// Errors and warnings of the page.
    complaints: Vec<String>,
    _profile: Folder,
}

impl Browser {
    /// The name of the browser on this machine, if one is installed.
    pub(crate) fn program() -> Option<&'static str> {
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            let found = Command::new(name).arg("--version").output();
            found.is_ok_and(|found| found.status.success())
        })
    }

    #[track_caller]
    pub(crate) fn start(program: &str, dark: bool) -> Self {
        let profile = Folder::new();
        // Chromium uses descriptors 3 and 4 for the protocol; the shell connects them to our
        // pipes.
        let command = "exec \"$@\" 3<&0 4>&1 >/dev/null";
        let mut process = Command::new("sh")
            .args(["-c", command, "sh", program, "--headless=new", "--remote-debugging-pipe"])
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--hide-scrollbars", "--no-proxy-server"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let from = BufReader::new(process.stdout.take().unwrap());
        let session = String::new();
        let mut browser = Self {
            process,
            to,
            from,
            session,
            last_id: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let to = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", to);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        browser.call("Runtime.enable", json!({}));
        browser.call("Log.enable", json!({}));
        browser.call("Page.enable", json!({}));
        let size =
            json!({"width": 1200, "height": 560, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        browser.call("Emulation.setEmulatedMedia", json!({"features": [feature]}));
        browser
    }

    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let start = std::time::Instant::now();
        // Parts of the page may not be loaded yet.
        let expression =
            &format!("(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        while self.value(expression) != json!(true) {
            let page = self.value("document.body?.innerText");
            assert!(start.elapsed() < PATIENCE, "{expression} is not true on {page}");
            std::thread::sleep(super::ms(50));
        }
    }

    /// A screenshot of the page, as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        base64(picture["data"].as_str().unwrap())
    }

    /// Errors and warnings in the page's console so far.
    pub(crate) fn complaints(&mut self) -> &[String] {
        // All messages before this answer have been read then.
        self.value("0");
        &self.complaints
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser has ended");
            let message: Value = serde_json::from_slice(&bytes).unwrap();
            if message["id"] == json!(self.last_id) {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        let complains = match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => {
                matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert"))
            }
            "Log.entryAdded" => {
                matches!(parameters["entry"]["level"].as_str(), Some("error" | "warning"))
            }
            _ => false,
        };
        if complains {
            self.complaints.push(parameters.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser and its helper processes.
        let group = -i32::try_from(self.process.id()).unwrap_or(1);
        // SAFETY: only takes numbers.
        unsafe { libc::kill(group, libc::SIGKILL) };
        let _ = self.process.wait();
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<_> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
    let decoded = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0_u32, |bits, digit| bits << 6 | u32::from(*digit));
        let bits = bits << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    decoded.collect()
}
