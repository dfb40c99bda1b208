// Times in the reader's zone, and single-letter shortcuts.
"use strict";

const page = {
  // Writes every <time> below `root` in the zone of this browser; UTC stays the title.
  localise(root) {
    const two = (number) => String(number).padStart(2, "0");
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.valueOf())) continue;
      const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
      time.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
    }
  },
};

(() => {
  const remembered = "keys-off";
  let chord = false;

  function isOn() {
    try { return !localStorage.getItem(remembered); } catch { return true; }
  }

  // Moves the focus to the next link of a list; stops at its ends.
  function step(links, by) {
    const all = [...document.querySelectorAll(links)];
    if (!all.length) return false;
    const here = all.indexOf(document.activeElement);
    const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by;
    all[Math.min(Math.max(next, 0), all.length - 1)].focus();
    return true;
  }

  function turn(rel) {
    const link = document.querySelector(`.viewer a[data-turn="${rel}"]`);
    if (link) link.click();
    return Boolean(link);
  }

  const keys = {
    "/": () => { const box = document.getElementById("q"); if (box) box.focus(); else location.assign("/#q"); return true; },
    "?": () => {
      const list = document.getElementById("keys");
      if (!list) return false;
      list.open = true;
      list.querySelector("summary").focus();
      list.scrollIntoView({ block: "nearest" });
      return true;
    },
    j: () => step("a.study", 1),
    k: () => step("a.study", -1),
    n: () => turn("next"),
    p: () => turn("prev"),
    r: () => { const first = document.querySelector(".presets button"); if (first) first.click(); return Boolean(first); },
    g: () => { chord = true; setTimeout(() => { chord = false; }, 1500); return true; },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=range]), textarea, select")) return;
    if (!isOn()) return;
    if (chord) {
      chord = false;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); return; }
    }
    if (keys[event.key] && keys[event.key]()) event.preventDefault();
  });

  page.localise(document);
  const box = document.getElementById("keys-on");
  if (box) {
    box.checked = isOn();
    box.addEventListener("change", () => {
      try {
        if (box.checked) localStorage.removeItem(remembered);
        else localStorage.setItem(remembered, "1");
      } catch { /* a browser without storage forgets it */ }
    });
  }
  if (location.hash === "#q") document.getElementById("q")?.focus();
})();
