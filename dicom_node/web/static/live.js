// Keeps the reading list up to date; without this script the page reloads itself.
"use strict";

(() => {
  const list = document.getElementById("list");
  const from = list?.dataset.liveFrom;
  const bar = document.querySelector(".live");
  if (!from || !bar) return;
  const state = document.getElementById("live-state");
  const toggle = document.getElementById("live-toggle");
  const news = document.getElementById("live-news");
  const dot = bar.querySelector(".dot");
  const wait = Number(list.dataset.seconds) * 1000;
  let paused = false;
  let shown = order();

  function order() {
    return [...list.querySelectorAll("tbody tr")].map((row) => row.id);
  }

  function mark() {
    state.textContent = paused ? state.dataset.paused : state.dataset.live;
    toggle.textContent = paused ? toggle.dataset.resume : toggle.dataset.pause;
    dot.classList.toggle("paused", paused);
  }

  function put(html) {
    const focused = document.activeElement?.closest("#list tr")?.id;
    // From our own server, which escapes everything that it puts in.
    const fresh = new DOMParser().parseFromString(html, "text/html");
    list.replaceChildren(...fresh.body.childNodes);
    page.localise(list);
    if (focused) document.getElementById(focused)?.querySelector("a.study")?.focus();
    const now = order();
    if (now.join() === shown.join()) return;
    for (const id of now) {
      if (!shown.includes(id)) document.getElementById(id).classList.add("fresh");
    }
    shown = now;
    news.textContent = news.dataset.words.replace("{n}", String(now.length));
  }

  async function look() {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch(from, { headers: { "X-Part": "list" }, redirect: "error" });
        if (answer.ok) put(await answer.text());
        else if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
        dot.classList.toggle("paused", !answer.ok);
      } catch {
        dot.classList.add("paused"); // the node is away: the next look may find it
      }
    }
    setTimeout(look, wait);
  }

  toggle.addEventListener("click", () => { paused = !paused; mark(); });
  bar.hidden = false;
  setTimeout(look, wait);
})();
