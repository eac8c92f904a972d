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
  const ORDERS = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?|[\x00-\x08\x0b-\x1f\x7f]/g;
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

  // ---- streams: closed while the page is not looked at, as a browser has only six connections to a host

  const streams = new Set();
  class Stream {
    constructor(address, listeners) {
      Object.assign(this, { address, listeners, source: null });
      streams.add(this);
      if (!document.hidden) this.open();
    }
    open() {
      if (this.source) return;
      this.source = new EventSource(typeof this.address === "function" ? this.address() : this.address);
      for (const [name, listener] of Object.entries(this.listeners)) this.source.addEventListener(name, listener);
    }
    rest() {
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

  const lamp = document.getElementById("live-state");
  const opened = new Map();
  document.addEventListener("toggle", (event) => {
    const key = event.target.dataset && event.target.dataset.remember;
    if (key) opened.set(key, event.target.open);
  }, true);

  const atEnd = (box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 30;
  const settle = (region, fresh) => {
    const focus = document.activeElement && region.contains(document.activeElement) ? document.activeElement.id : "";
    const ends = [];
    for (const kept of region.querySelectorAll("[data-keep]")) {
      const other = [...fresh.querySelectorAll("[data-keep]")].find((candidate) => candidate.id === kept.id);
      if (!other) continue;
      // An element that is moved forgets how far it was scrolled.
      ends.push([kept, atEnd(kept) ? Infinity : kept.scrollTop]);
      other.replaceWith(kept);
    }
    region.replaceChildren(...fresh.childNodes);
    for (const [kept, top] of ends) kept.scrollTop = Math.min(top, kept.scrollHeight);
    for (const details of region.querySelectorAll("details[data-remember]")) {
      if (opened.has(details.dataset.remember)) details.open = opened.get(details.dataset.remember);
    }
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  };
  const readAnew = async () => {
    const answer = await fetch(location.pathname + location.search, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(region.id);
      if (fresh) settle(region, document.importNode(fresh, true));
    }
    document.title = page.title;
    if (events && !page.getElementById("main")?.dataset.events) {
      events.end();
      lamp.hidden = true;
    }
    tick();
    followTails();
  };
  let waiting = false, reading = false, last = 0;
  const refresh = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(async () => {
      if (reading) { waiting = false; setTimeout(refresh, 200); return; }
      waiting = false;
      reading = true;
      last = Date.now();
      try { await readAnew(); } catch { /* the stream opens again and asks again */ } finally { reading = false; }
    }, Math.max(120, last + 500 - Date.now()));
  };
  let events = null;
  if (main.dataset.events) {
    const listeners = {
      hello: () => { lamp.hidden = false; refresh(); },
      error: () => { lamp.hidden = true; },
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
      const probe = this.row(0, "x");
      this.rows.append(probe);
      this.line = probe.getBoundingClientRect().height || 20;
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
      this.visible = this.box.clientHeight / this.line;
      this.topMost = Math.max(0, this.total - this.visible + 1);
      const height = (this.total + 1) * this.line;
      this.scaled = height > HEIGHT_MOST;
      this.range = Math.max(1, Math.min(height, HEIGHT_MOST) - this.box.clientHeight);
      this.spacer.style.height = `${Math.min(height, HEIGHT_MOST)}px`;
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

    row(number, text) {
      const row = document.createElement("div");
      row.className = number + 1 === this.at ? "line at" : "line";
      const link = document.createElement("a");
      link.href = `#L${number + 1}`;
      link.textContent = String(number + 1);
      row.append(link, text === undefined ? document.createElement("span") : drawn(text));
      return row;
    }

    draw() {
      const first = Math.max(0, Math.floor(this.top) - AROUND);
      const end = Math.min(this.total, Math.ceil(this.top + this.visible) + AROUND);
      const rows = [], missing = new Set();
      for (let number = first; number < end; number++) {
        const chunk = this.chunks.get(Math.floor(number / CHUNK));
        const text = chunk && chunk.lines[number % CHUNK];
        if (text === undefined && !(chunk && chunk.stuck)) missing.add(Math.floor(number / CHUNK));
        rows.push(this.row(number, text));
      }
      this.rows.replaceChildren(...rows);
      this.rows.style.transform = `translateY(${this.box.scrollTop - (this.top - first) * this.line}px)`;
      this.wanted = [...missing];
      if (this.wanted.length && !this.fetching) this.pump();
    }

    /** Fetches what is wanted, one piece at a time, the latest wish first. */
    async pump() {
      this.fetching = true;
      while (this.wanted.length) {
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

  const box = document.getElementById("log");
  if (box) new LogView(box);
})();
