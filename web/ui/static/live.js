// What makes the pages live: times that go on, parts that are read anew at an event, ends of logs that grow, and the view of a whole log.
// Without it every page works by loading it again.
"use strict";
(() => {
  const main = document.getElementById("main");
  if (!main) return;
  const skew = Number(main.dataset.now) - Date.now() || 0;

  // ---- times

  const length = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s < 10) return `${Math.max(0, ms / 1000).toFixed(1)} s`;
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  };
  const ago = (ms) => {
    const s = Math.floor(ms / 1000);
    if (s < 10) return "just now";
    if (s < 60) return `${s} s ago`;
    if (s < 3600) return `${Math.floor(s / 60)} min ago`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
    if (s < 2592000) return `${Math.floor(s / 86400)} d ago`;
    return "";
  };
  const put = (element, text) => {
    if (text && element.textContent !== text) element.textContent = text;
  };
  const tick = () => {
    const now = Date.now() + skew;
    for (const time of document.querySelectorAll("time[data-ago]")) {
      const at = Date.parse(time.dateTime);
      put(time, ago(now - at));
      if (!time.dataset.local) {
        time.dataset.local = "yes";
        time.title = `${new Date(at).toLocaleString()} (${time.title})`;
      }
    }
    for (const span of document.querySelectorAll("[data-since]")) put(span, length(now - Number(span.dataset.since)));
  };
  tick();
  setInterval(tick, 1000);

  // ---- text of logs: colours of a terminal (SGR of ECMA-48) become classes, every other order is left out

  const LINE_MOST = 20000;
  const ORDERS = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f]/g;
  const shade = (style, codes) => {
    const numbers = codes === "" ? [0] : codes.split(/[;:]/).map(Number);
    for (let i = 0; i < numbers.length; i++) {
      const code = numbers[i];
      if (code === 0) style.colour = style.bold = style.dim = "";
      else if (code === 1) style.bold = "b";
      else if (code === 2) style.dim = "d";
      else if (code === 22) style.bold = style.dim = "";
      else if (code >= 30 && code <= 37) style.colour = `c${code - 30}`;
      else if (code >= 90 && code <= 97) style.colour = `c${code - 90}`;
      else if (code === 39) style.colour = "";
      else if (code === 38 || code === 48) i += numbers[i + 1] === 5 ? 2 : 4;
    }
  };
  const drawn = (raw) => {
    let line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    line = line.slice(line.lastIndexOf("\r") + 1);
    const cut = line.length > LINE_MOST;
    if (cut) line = line.slice(0, LINE_MOST);
    const out = document.createElement("span");
    if (!/[\x00-\x08\x0b-\x1f\x7f]/.test(line)) {
      out.textContent = line;
    } else {
      const style = { colour: "", bold: "", dim: "" };
      const add = (text) => {
        if (text === "") return;
        const name = [style.colour, style.bold, style.dim].filter(Boolean).join(" ");
        const piece = name ? document.createElement("span") : document.createTextNode(text);
        if (name) {
          piece.className = name;
          piece.textContent = text;
        }
        out.append(piece);
      };
      let from = 0;
      for (const order of line.matchAll(ORDERS)) {
        add(line.slice(from, order.index));
        from = order.index + order[0].length;
        if (order[1] !== undefined) shade(style, order[1]);
      }
      add(line.slice(from));
    }
    if (cut) out.append(" … cut here; the raw log has all of it");
    return out;
  };

  // ---- the lamp that says whether the page is live, and what stands in its place once one has to log in again

  const lamp = document.getElementById("live-state");
  let gone = false;
  const light = (word) => {
    if (gone) return;
    lamp.hidden = !word;
    lamp.className = `lamp ${word}`;
    put(lamp, word);
  };
  const turnedAway = (answer) => answer.status === 401 || (answer.redirected && new URL(answer.url).pathname === "/login");
  // Nothing is asked any more: each answer would be the same.
  const leave = () => {
    if (gone) return;
    light("ended");
    gone = true;
    for (const stream of [...streams]) stream.end();
    const link = document.createElement("a");
    link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = "log in again";
    lamp.replaceChildren(link);
  };

  // ---- streams: closed while the page is not looked at, as a browser has only six connections to a host

  const AGAIN = 1000, AGAIN_MOST = 30000;
  const streams = new Set();
  class Stream {
    constructor(address, listeners) {
      Object.assign(this, { address, listeners, source: null, again: AGAIN });
      streams.add(this);
      if (!document.hidden) this.open();
    }
    open() {
      if (this.source || gone) return;
      clearTimeout(this.timer);
      const source = (this.source = new EventSource(typeof this.address === "function" ? this.address() : this.address));
      for (const [name, listener] of Object.entries(this.listeners)) source.addEventListener(name, listener);
      source.addEventListener("open", () => { this.again = AGAIN; });
      source.addEventListener("error", () => {
        // A browser asks again by itself, unless it got an answer that is no stream: a proxy gives one while the host is away.
        if (source.readyState !== EventSource.CLOSED || source !== this.source) return;
        this.rest();
        this.refused();
      });
    }
    /** A stream does not say why it was refused; the page does. */
    async refused() {
      const page = await fetch(location.pathname + location.search, { method: "HEAD", credentials: "same-origin" }).catch(() => null);
      if (page && turnedAway(page)) leave();
      if (this.source || !streams.has(this)) return;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => { if (!document.hidden && streams.has(this)) this.open(); }, this.again);
      this.again = Math.min(2 * this.again, AGAIN_MOST);
    }
    rest() {
      clearTimeout(this.timer);
      if (this.source) this.source.close();
      this.source = null;
    }
    end() {
      this.rest();
      streams.delete(this);
    }
  }
  document.addEventListener("visibilitychange", () => {
    for (const stream of [...streams]) document.hidden ? stream.rest() : stream.open();
  });
  addEventListener("pagehide", () => streams.forEach((stream) => stream.rest()));
  addEventListener("pageshow", (event) => {
    if (event.persisted) streams.forEach((stream) => stream.open());
  });

  // ---- parts that are read anew

  // What is the same stays the same element, so that focus, marked text, scrolling and what was unfolded stay too.
  const known = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return node.nodeName;
    const row = /^(TR|LI|ARTICLE)$/.test(node.nodeName) ? node.querySelector("a[href]") : node;
    return `${node.nodeName} ${node.id || row?.getAttribute("href") || node.getAttribute("action") || ""}`;
  };
  const renew = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if (old.hasAttribute("data-keep") && fresh.hasAttribute("data-keep")) return;
    const ours = (name) => name === "open" && old.nodeName === "DETAILS";
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !ours(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !ours(name)) old.setAttribute(name, value);
    const wanted = [...fresh.childNodes], left = new Map();
    for (const node of wanted) left.set(known(node), (left.get(known(node)) || 0) + 1);
    let at = old.firstChild;
    const drop = () => { const gone = at; at = at.nextSibling; gone.remove(); };
    for (const node of wanted) {
      const name = known(node);
      while (at && known(at) !== name && !left.get(known(at))) drop();
      left.set(name, left.get(name) - 1);
      if (at && known(at) === name) {
        renew(at, node);
        at = at.nextSibling;
      } else {
        old.insertBefore(node, at);
      }
    }
    while (at) drop();
  };
  const atEnd = (box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 30;
  const readAnew = async () => {
    const answer = await fetch(location.pathname + location.search, { credentials: "same-origin" });
    if (answer.status >= 500) throw new Error(answer.statusText);
    if (turnedAway(answer)) leave();
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(region.id);
      if (fresh) renew(region, fresh);
    }
    document.title = page.title;
    if (events && !page.getElementById("main")?.dataset.events) {
      events.end();
      light("");
    }
    tick();
    followTails();
  };
  let waiting = false, reading = false, last = 0;
  const refresh = () => {
    if (waiting || gone) return;
    waiting = true;
    setTimeout(async () => {
      if (gone) return;
      if (reading) { waiting = false; setTimeout(refresh, 200); return; }
      waiting = false;
      reading = true;
      last = Date.now();
      try {
        await readAnew();
      } catch {
        // While nobody looks, nothing is asked; the stream that opens then asks.
        if (!document.hidden) setTimeout(refresh, 3000);
      } finally {
        reading = false;
      }
    }, Math.max(120, last + 500 - Date.now()));
  };
  let events = null;
  if (main.dataset.events) {
    const listeners = {
      hello: () => { light("live"); refresh(); },
      error: () => { light("reconnecting"); },
    };
    for (const kind of ["change", "buildset", "request", "build", "worker", "change-source", "config", "lagged"]) listeners[kind] = refresh;
    events = new Stream(main.dataset.events, listeners);
  }

  // ---- ends of logs that grow, below a running step

  const TAIL_MOST = 400;
  const followTails = () => {
    for (const pre of document.querySelectorAll("pre[data-follow]")) {
      if (pre.dataset.followed) continue;
      pre.dataset.followed = "yes";
      const from = new URL(pre.dataset.follow, location.href);
      pre.scrollTop = pre.scrollHeight;
      const stream = new Stream(() => from.href, {
        lines: (event) => {
          if (!pre.isConnected) { stream.end(); return; }
          const { first, lines } = JSON.parse(event.data);
          const stays = atEnd(pre);
          from.searchParams.set("from", first + lines.length);
          for (const line of lines.slice(-TAIL_MOST)) pre.append(drawn(line), "\n");
          while (pre.childNodes.length > 2 * TAIL_MOST) pre.firstChild.remove();
          if (stays) pre.scrollTop = pre.scrollHeight;
        },
        end: () => stream.end(),
      });
    }
  };
  followTails();

  // ---- the view of a whole log: only what is looked at is fetched and drawn

  const CHUNK = 1000, CHUNKS = 40, AROUND = 8;
  // No browser makes an element of any height; beyond this the scroll bar stands for a share of the log instead of its pixels.
  const HEIGHT_MOST = 6000000;

  class LogView {
    constructor(box) {
      this.box = box;
      this.source = box.dataset.source;
      this.total = Number(box.dataset.lines);
      this.ended = box.dataset.ended === "true";
      this.chunks = new Map();
      this.drawn = new Map();
      this.top = 0;
      this.at = 0;
      this.following = !this.ended && !location.hash && !location.search;
      this.spacer = document.createElement("div");
      this.rows = document.createElement("div");
      this.rows.className = "rows";
      this.count = document.getElementById("log-count");
      this.button = document.getElementById("follow");
      document.getElementById("log-pages").hidden = true;
      box.replaceChildren(this.spacer, this.rows);
      box.classList.add("view");
      const probe = this.row(0);
      this.rows.append(probe);
      this.line = probe.getBoundingClientRect().height || 20;
      probe.remove();
      this.listen();
      this.measure();
      const first = new URLSearchParams(location.search).get("first");
      if (!this.fromHash()) this.move(this.following ? Infinity : first ? Number(first) - 1 : 0);
      if (!this.ended) this.follow();
    }

    listen() {
      const box = this.box;
      box.addEventListener("scroll", () => {
        if (Math.abs(box.scrollTop - this.expected) >= 2) {
          this.top = this.scaled ? (box.scrollTop / this.range) * this.topMost : box.scrollTop / this.line;
          this.expected = box.scrollTop;
          this.setFollowing(!this.ended && this.top >= this.topMost - 1);
        }
        this.draw();
      });
      box.addEventListener("wheel", (event) => {
        if (!this.scaled || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
        event.preventDefault();
        const lines = event.deltaMode === 1 ? event.deltaY : event.deltaMode === 2 ? event.deltaY * this.visible : event.deltaY / this.line;
        this.moveBy(lines);
      }, { passive: false });
      box.addEventListener("keydown", (event) => {
        const page = Math.max(1, Math.floor(this.visible) - 1);
        const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
        const step = steps[event.key];
        if (step === undefined || event.altKey || event.metaKey || event.target !== box) return;
        event.preventDefault();
        this.moveBy(step);
      });
      addEventListener("resize", () => { this.measure(); this.move(this.top); });
      addEventListener("hashchange", () => this.fromHash());
      const jump = document.getElementById("jump");
      jump.addEventListener("submit", (event) => {
        event.preventDefault();
        const hash = `#L${Number(jump.elements.first.value)}`;
        if (location.hash === hash) this.fromHash();
        else location.hash = hash;
      });
      this.button.addEventListener("click", () => {
        this.setFollowing(!this.following);
        if (this.following) this.move(Infinity);
      });
    }

    measure() {
      const height = (this.total + 1) * this.line;
      this.scaled = height > HEIGHT_MOST;
      // First, for a short log makes a low box.
      this.spacer.style.height = `${Math.min(height, HEIGHT_MOST)}px`;
      this.box.style.setProperty("--gutter", `${Math.max(3, String(this.total).length) + 3}ch`);
      this.visible = this.box.clientHeight / this.line;
      this.topMost = Math.max(0, this.total - this.visible + 1);
      this.range = Math.max(1, Math.min(height, HEIGHT_MOST) - this.box.clientHeight);
    }

    move(top) {
      this.top = Math.min(Math.max(0, top), this.topMost);
      this.expected = this.scaled ? (this.top / Math.max(1, this.topMost)) * this.range : this.top * this.line;
      this.box.scrollTop = this.expected;
      this.expected = this.box.scrollTop;
      this.draw();
    }

    moveBy(lines) {
      this.move(lines === Infinity ? Infinity : lines === -Infinity ? 0 : this.top + lines);
      this.setFollowing(!this.ended && this.top >= this.topMost - 1);
    }

    setFollowing(on) {
      this.following = on;
      this.button.setAttribute("aria-pressed", String(on));
    }

    /** Goes to the line that the address names. */
    fromHash() {
      const match = /^#L(\d+)$/.exec(location.hash);
      if (!match) return false;
      this.at = Math.max(1, Number(match[1]));
      const line = this.at - 1;
      if (line < this.top || line > this.top + this.visible - 2 || !this.rows.childNodes.length) {
        this.setFollowing(false);
        this.move(line - Math.floor(this.visible / 3));
      } else {
        this.draw();
      }
      return true;
    }

    row(number) {
      const row = document.createElement("div"), link = document.createElement("a");
      row.className = "line";
      link.href = `#L${number + 1}`;
      link.textContent = String(number + 1);
      row.append(link, document.createElement("span"));
      return row;
    }

    draw() {
      const first = Math.max(0, Math.floor(this.top) - AROUND);
      const end = Math.min(this.total, Math.ceil(this.top + this.visible) + AROUND);
      for (const [number, { row }] of this.drawn) {
        if (number >= first && number < end) continue;
        row.remove();
        this.drawn.delete(number);
      }
      const missing = new Set();
      let next = this.rows.firstChild;
      for (let number = first; number < end; number++) {
        let line = this.drawn.get(number);
        if (line) {
          next = line.row.nextSibling;
        } else {
          this.drawn.set(number, (line = { row: this.row(number), filled: false }));
          this.rows.insertBefore(line.row, next);
        }
        const isAt = number + 1 === this.at;
        line.row.classList.toggle("at", isAt);
        // The field for a line's number is the keyboard's way to it; else a million links would stand before what follows.
        line.row.firstChild.tabIndex = isAt ? 0 : -1;
        if (line.filled) continue;
        const chunk = this.chunks.get(Math.floor(number / CHUNK)), text = chunk?.lines[number % CHUNK];
        if (text !== undefined) {
          line.row.lastChild.replaceWith(drawn(text));
          line.filled = true;
        } else if (!chunk?.stuck) {
          missing.add(Math.floor(number / CHUNK));
        }
      }
      this.rows.style.transform = `translateY(${this.box.scrollTop - (this.top - first) * this.line}px)`;
      this.wanted = [...missing];
      if (this.wanted.length && !this.fetching) this.pump();
    }

    /** Fetches what is wanted, one piece at a time, the latest wish first. */
    async pump() {
      this.fetching = true;
      while (this.wanted.length && !gone) {
        const index = this.wanted.shift();
        try {
          await this.load(index);
        } catch {
          await new Promise((done) => setTimeout(done, 1000));
        }
        this.draw();
      }
      this.fetching = false;
    }

    async load(index) {
      const start = index * CHUNK, end = Math.min(this.total, start + CHUNK);
      const lines = [];
      while (start + lines.length < end) {
        const first = start + lines.length + 1;
        const answer = await fetch(`${this.source}?first=${first}&count=${end - first + 1}`, { credentials: "same-origin" });
        if (turnedAway(answer)) leave();
        if (!answer.ok) throw new Error(answer.statusText);
        const got = (await answer.text()).split("\n");
        if (got[got.length - 1] === "") got.pop();
        if (got.length === 0) break;
        for (const line of got) lines.push(line);
      }
      this.keep(index, { lines, stuck: start + lines.length < end });
    }

    keep(index, chunk) {
      this.chunks.delete(index);
      this.chunks.set(index, chunk);
      if (this.chunks.size > CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
    }

    follow() {
      this.button.hidden = false;
      this.setFollowing(this.following);
      const stream = new Stream(() => `${this.source}/follow?from=${this.total + 1}`, {
        lines: (event) => this.grow(JSON.parse(event.data)),
        end: () => {
          stream.end();
          this.ended = true;
          this.setFollowing(false);
          this.button.hidden = true;
          refresh();
        },
      });
    }

    grow({ first, lines }) {
      lines.forEach((text, offset) => {
        const number = first - 1 + offset, index = Math.floor(number / CHUNK), place = number % CHUNK;
        let chunk = this.chunks.get(index);
        if (!chunk && place === 0) this.keep(index, (chunk = { lines: [], stuck: false }));
        if (chunk && chunk.lines.length === place) chunk.lines.push(text);
      });
      this.total = Math.max(this.total, first - 1 + lines.length);
      this.count.textContent = `${this.total.toLocaleString("en")} ${this.total === 1 ? "line" : "lines"}`;
      this.measure();
      this.move(this.following ? Infinity : this.top);
    }
  }

  // ---- files whose text goes into a field

  for (const picker of document.querySelectorAll("input[data-into]")) {
    const into = document.getElementById(picker.dataset.into);
    picker.hidden = false;
    picker.addEventListener("change", async () => {
      const file = picker.files[0], most = Number(picker.dataset.most);
      let trouble = "";
      if (file && file.size > most) {
        trouble = `The file has ${file.size} bytes, and at most ${most} are taken.`;
      } else if (file) {
        try {
          into.value = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
        } catch {
          trouble = "The file is no text in UTF-8.";
        }
      }
      picker.setCustomValidity(trouble);
      picker.reportValidity();
    });
  }

  const box = document.getElementById("log");
  if (box) new LogView(box);
})();
