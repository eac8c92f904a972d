// What is wrong with how a page is made: a list of sentences, empty when all is well.
(() => {
  const faults = [];
  const name = (it) => it.outerHTML.slice(0, 140);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const seen = (it) => it.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  if (document.documentElement.lang !== "en") faults.push("it names no language");
  if (all("h1").length !== 1) faults.push(`it has ${all("h1").length} first headings`);
  if (all("main").length !== 1) faults.push("it has no one main part");
  const levels = all("h1, h2, h3").map((it) => Number(it.tagName[1]));
  levels.forEach((level, i) => { if (i > 0 && level > levels[i - 1] + 1) faults.push("its headings skip a level"); });
  const ids = all("[id]").map((it) => it.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) faults.push(`two elements have the id ${id}`);
  for (const it of all("input:not([type=hidden]), select, textarea")) {
    if (!(it.labels?.length || it.ariaLabel)) faults.push(`a field has no label: ${name(it)}`);
  }
  for (const it of all("a[href], button")) {
    if (seen(it) && !(it.innerText.trim() || it.ariaLabel)) faults.push(`nothing says what this is for: ${name(it)}`);
  }
  for (const it of all("img:not([alt])")) faults.push(`a picture has no words: ${name(it)}`);
  for (const it of all("th:empty")) faults.push(`a column has no name: ${name(it.parentElement)}`);
  for (const it of all("a[href]")) {
    if (it.protocol !== "http:" && it.protocol !== "https:") faults.push(`a link that runs: ${name(it)}`);
  }

  // Not innerWidth: on a phone it grows with what is too wide.
  const { scrollWidth: width, clientWidth: room } = document.documentElement;
  if (width > room) {
    const wide = all("body *").filter((it) => it.getBoundingClientRect().right > room + 1 && !it.closest(".scroll, .lines, pre, .skip, .hidden"));
    faults.push(`the page is ${width} wide in a window of ${room}: ${wide.slice(0, 2).map(name).join(" ")}`);
  }
  for (const it of all(".scroll, pre.tail, .lines")) {
    if (seen(it) && it.scrollWidth > it.clientWidth + 1 && it.tabIndex < 0 && !it.querySelector("a, button")) {
      faults.push(`it scrolls, and not by keyboard: ${name(it)}`);
    }
  }

  // Contrast of text with what is behind it, as WCAG 2.2 has it in 1.4.3.
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      paint.clearRect(0, 0, 1, 1);
      paint.fillStyle = colour;
      paint.fillRect(0, 0, 1, 1);
      known.set(colour, [...paint.getImageData(0, 0, 1, 1).data]);
    }
    return known.get(colour);
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => (c * top[3] + below[i] * (255 - top[3])) / 255);
  const behind = (it) => {
    if (!it) return [255, 255, 255];
    const colour = rgba(getComputedStyle(it).backgroundColor);
    return colour[3] === 255 ? colour.slice(0, 3) : over(colour, behind(it.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pale = new Map();
  for (const it of all("body *")) {
    const own = [...it.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !seen(it) || it.closest(".skip, .hidden, canvas")) continue;
    const style = getComputedStyle(it), back = behind(it);
    const a = light(over(rgba(style.color), back)), b = light(back);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && Number(style.fontWeight) >= 700);
    if (contrast < (large ? 3 : 4.5)) pale.set(`${it.tagName}.${it.className}`, `${contrast.toFixed(2)}: ${name(it)}`);
  }
  for (const [, text] of pale) faults.push(`pale text, contrast ${text}`);
  return faults;
})();
