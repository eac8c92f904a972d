//! One tab: where it is, what is seen in it, and what it complains of.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::PATIENCE;
use super::wire::{LOOK_AGAIN, Wire};

/// A tab of a visitor.
pub struct Tab {
    wire: Arc<Wire>,
    context: String,
    session: String,
}

impl Tab {
    /// An empty tab in a context of the browser.
    pub(super) async fn open(wire: &Arc<Wire>, context: &str) -> anyhow::Result<Self> {
        let target =
            wire.call("", "Target.createTarget", json!({ "url": "about:blank", "browserContextId": context })).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = wire.call("", "Target.attachToTarget", attach).await?;
        let session = attached["sessionId"].as_str().context("a session has an id")?.to_owned();
        let tab = Self { wire: Arc::clone(wire), context: context.to_owned(), session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(tab)
    }

    /// Another tab of the same visitor, with the same cookies.
    ///
    /// # Errors
    /// When the browser does not make one.
    pub async fn another(&self) -> anyhow::Result<Self> {
        Self::open(&self.wire, &self.context).await
    }

    async fn call(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.wire.call(&self.session, method, params).await
    }

    /// Goes to an address and waits until the page is loaded. What was told of earlier pages is forgotten.
    ///
    /// # Errors
    /// When the page can't be had.
    pub async fn go(&self, url: &str) -> anyhow::Result<()> {
        // Another tab of this visitor may cover it, and what nobody sees does not stay live.
        self.call("Page.bringToFront", json!({})).await?;
        // A step from `#a` to `#b` loads nothing.
        self.call("Page.navigate", json!({ "url": "about:blank" })).await?;
        self.until("location.href === 'about:blank' && document.readyState === 'complete'").await?;
        self.wire.forget(&self.session);
        let went = self.call("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = went["errorText"].as_str() {
            bail!("{url}: {error}");
        }
        self.loaded(1).await
    }

    /// Does something that leads to another page, and waits until that one is loaded.
    ///
    /// # Errors
    /// When none is loaded.
    pub async fn leads_on(&self, deed: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        let before = self.loads();
        deed.await?;
        self.loaded(before + 1).await
    }

    async fn loaded(&self, times: usize) -> anyhow::Result<()> {
        self.wire.until(&self.session, "a page is loaded", |events| (loads(events) >= times).then_some(())).await
    }

    /// How many pages were loaded since [`Self::go`].
    #[must_use]
    pub fn loads(&self) -> usize {
        self.wire.events(&self.session, loads)
    }

    /// What an expression of JavaScript gives in this page; of a promise, what it comes to.
    ///
    /// # Errors
    /// When it throws.
    pub async fn eval(&self, script: &str) -> anyhow::Result<Value> {
        let ask = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", ask).await?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{script}: {}", thrown["exception"]["description"].as_str().unwrap_or("it throws"));
        }
        Ok(answer["result"]["value"].take())
    }

    /// As [`Self::eval`], as text.
    ///
    /// # Errors
    /// When it throws or is no text.
    pub async fn text(&self, script: &str) -> anyhow::Result<String> {
        let value = self.eval(script).await?;
        Ok(value.as_str().with_context(|| format!("{script} is {value}"))?.to_owned())
    }

    /// Looks again and again until an expression of JavaScript is true.
    ///
    /// # Errors
    /// When it does not become true; the error has the text of the page.
    pub async fn until(&self, script: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut last = Value::Null;
        while started.elapsed() < PATIENCE {
            // Between two pages there is nothing to ask.
            match self.eval(script).await {
                Ok(Value::Bool(true)) => return Ok(()),
                Ok(value) => last = value,
                Err(error) => last = format!("{error:#}").into(),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let seen = self.text("location.href + '\\n' + document.body.innerText").await.unwrap_or_default();
        bail!("{script} did not become true, at last it was {last}; the page is {seen}")
    }

    /// Waits until the page shows this text.
    ///
    /// # Errors
    /// When it does not.
    pub async fn shows(&self, text: &str) -> anyhow::Result<()> {
        self.until(&format!("document.body.innerText.includes({})", json!(text))).await
    }

    /// Whether something that fits the selector can be seen.
    ///
    /// # Errors
    /// When the selector makes no sense.
    pub async fn has(&self, selector: &str) -> anyhow::Result<bool> {
        let script = format!("!!document.querySelector({})?.checkVisibility()", json!(selector));
        Ok(self.eval(&script).await? == true)
    }

    /// Clicks with the mouse in the middle of what fits the selector, which must be there to be clicked.
    ///
    /// # Errors
    /// When it is not there, or something else covers it.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        let script = format!(
            "(() => {{
                const it = document.querySelector({selector});
                if (!it) return 'it is not there';
                const middle = () => {{
                    const {{ left, top, width, height }} = it.getBoundingClientRect();
                    const x = left + width / 2, y = top + height / 2, hit = document.elementFromPoint(x, y);
                    return {{ x, y, hit, free: !!hit && it.contains(hit) }};
                }};
                if (!middle().free) it.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const {{ x, y, hit, free }} = middle();
                return free ? {{ x, y }} : `it is covered by ${{hit?.outerHTML.slice(0, 200)}}`;
            }})()",
            selector = json!(selector)
        );
        let place = self.eval(&script).await?;
        if let Some(trouble) = place.as_str() {
            bail!("{selector} can't be clicked: {trouble}");
        }
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Turns the wheel over the middle of what fits the selector.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn wheel(&self, selector: &str, pixels: i32) -> anyhow::Result<()> {
        let script = format!(
            "(() => {{ const r = document.querySelector({}).getBoundingClientRect(); \
             return {{ x: r.left + r.width / 2, y: r.top + r.height / 2 }}; }})()",
            json!(selector)
        );
        let place = self.eval(&script).await?;
        let event = json!({ "type": "mouseWheel", "x": place["x"], "y": place["y"], "deltaX": 0, "deltaY": pixels });
        self.call("Input.dispatchMouseEvent", event).await.map(|_| ())
    }

    /// Clicks into a field and types, in place of what is there.
    ///
    /// # Errors
    /// When the field is not there.
    pub async fn fill(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        self.click(selector).await?;
        self.eval(&format!("document.querySelector({}).select()", json!(selector))).await?;
        self.call("Input.insertText", json!({ "text": text })).await.map(|_| ())
    }

    /// Presses a key, such as `Tab`, `Enter` or `End`, with its code of Windows, which is what browsers tell keys by.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn press(&self, key: &str, code: u32) -> anyhow::Result<()> {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in [if text.is_empty() { "rawKeyDown" } else { "keyDown" }, "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// Makes the window this large, as on a phone when it is narrow.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn window(&self, width: u32, height: u32) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await.map(|_| ())
    }

    /// Switches the page's own scripts off or on, for pages that are loaded from now on.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn scripts(&self, on: bool) -> anyhow::Result<()> {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !on })).await.map(|_| ())
    }

    /// Asks pages to be `dark` or `light`.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn scheme(&self, scheme: &str) -> anyhow::Result<()> {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await.map(|_| ())
    }

    /// Writes a picture of the window to a file.
    ///
    /// # Errors
    /// When the browser or the file fails.
    pub async fn picture(&self, file: &Path) -> anyhow::Result<()> {
        use base64::Engine as _;
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let data = answer["data"].as_str().context("a picture has data")?;
        Ok(std::fs::write(file, base64::engine::general_purpose::STANDARD.decode(data)?)?)
    }

    /// What the console shows in red since [`Self::go`]: errors of scripts, of loading and of the policy for content, and warnings.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.wire.events(&self.session, |events| events.iter().filter_map(trouble).collect())
    }

    /// The address of each request since [`Self::go`].
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let address = |event: &Value| {
            (event["method"] == "Network.requestWillBeSent")
                .then(|| event["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
        };
        self.wire.events(&self.session, |events| events.iter().filter_map(address).collect())
    }

    /// The status of the last page that was asked for since [`Self::go`].
    #[must_use]
    pub fn status(&self) -> Option<u64> {
        let status = |event: &Value| {
            (event["method"] == "Network.responseReceived" && event["params"]["type"] == "Document")
                .then(|| event["params"]["response"]["status"].as_u64())
        };
        self.wire.events(&self.session, |events| events.iter().rev().find_map(status)).flatten()
    }
}

fn loads(events: &[Value]) -> usize {
    events.iter().filter(|event| event["method"] == "Page.loadEventFired").count()
}

fn trouble(event: &Value) -> Option<String> {
    let params = &event["params"];
    let is_bad = |level: &Value| matches!(level.as_str(), Some("error" | "warning" | "assert"));
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if is_bad(&params["type"]) => Some(params["args"].to_string()),
        "Log.entryAdded" if is_bad(&params["entry"]["level"]) => {
            Some(format!("{} ({})", params["entry"]["text"], params["entry"]["url"]))
        }
        _ => None,
    }
}
