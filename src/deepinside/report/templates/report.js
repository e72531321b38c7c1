"use strict";
// The page is complete without this: it adds the theme, the slider and the gallery's filters, order and large view.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);

function theme() {
  const button = byId("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const tell = () => { byId("theme-name").textContent = dark() ? "Light" : "Dark"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("deepinside-theme", root.dataset.theme); } catch (error) { /* not remembered, then */ }
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  tell();
}

function sections() {
  const links = new Map([...document.querySelectorAll(".sections a")].map((a) => [a.hash.slice(1), a]));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const a of links.values()) a.removeAttribute("aria-current");
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-15% 0px -80% 0px" });
  for (const id of links.keys()) if (byId(id)) watch.observe(byId(id));
}

function looks() {
  const map = byId("map"), boxes = byId("boxes");
  const show = () => {
    const value = map ? map.value : "0";
    root.style.setProperty("--map", value / 100);
    root.dataset.map = value === "0" ? "off" : "on"; // filters cost time: none where nothing is to be seen
    root.dataset.boxes = boxes && !boxes.checked ? "off" : "on";
  };
  for (const input of [map, boxes]) input?.addEventListener("input", show);
  show();
}

const counted = (count, all) => `${count} of ${all} picture${all === 1 ? "" : "s"}`;

// A long list begins with its first forty; the button below it shows the rest.
function firstOf(list, button) {
  const first = 40;
  let most = first;
  const fitting = () => [...list.children].filter((card) => !card.hidden);
  const show = () => {
    const cards = fitting();
    cards.forEach((card, i) => card.classList.toggle("later", i >= most));
    button.hidden = cards.length <= most;
    button.textContent = `Show all ${cards.length}`;
  };
  const all = () => { most = Infinity; show(); };
  button.addEventListener("click", () => { all(); fitting()[first].querySelector("button")?.focus(); });
  return { show, all };
}

function gallery() {
  const list = byId("cards");
  if (!list) return;
  const cards = [...list.children], about = JSON.parse(byId("about").textContent), beginning = firstOf(list, byId("more"));
  const sorts = {
    index: (a, b) => a.dataset.index - b.dataset.index,
    iou: (a, b) => iou(a) - iou(b),
    "iou-down": (a, b) => iou(b) - iou(a),
    sure: (a, b) => b.dataset.posterior - a.dataset.posterior,
    unsure: (a, b) => a.dataset.posterior - b.dataset.posterior,
  };
  const start = { judge: "first_guess", kind: "", class: "", sort: "index" };
  let state = { ...start }, order = start.sort;
  const known = () => state.judge === "class_known";
  const iou = (card) => Number(known() ? card.dataset.iouKnown : card.dataset.iouFirst);
  const kind = (card) => (known() ? card.dataset.kindKnown : card.dataset.kindFirst);
  const ofClass = (card) => !state.class || card.dataset.class.toLowerCase().includes(state.class.toLowerCase());
  const shown = () => [...list.children].filter((card) => !card.hidden);

  function show() {
    root.dataset.judge = state.judge;
    const counts = {};
    for (const card of cards) {
      if (ofClass(card)) counts[kind(card)] = (counts[kind(card)] || 0) + 1;
      card.hidden = !ofClass(card) || (state.kind !== "" && kind(card) !== state.kind);
    }
    const wanted = state.sort.startsWith("iou") ? `${state.sort} ${state.judge}` : state.sort;
    if (wanted !== order) list.append(...[...cards].sort((a, b) => sorts[state.sort](a, b) || sorts.index(a, b)));
    order = wanted;
    beginning.show();
    for (const chip of document.querySelectorAll("button[data-kind]")) {
      const count = chip.dataset.kind ? counts[chip.dataset.kind] || 0 : Object.values(counts).reduce((a, b) => a + b, 0);
      chip.querySelector("small").textContent = count;
      chip.setAttribute("aria-pressed", chip.dataset.kind === state.kind);
      chip.disabled = !count && chip.dataset.kind !== state.kind;
    }
    for (const chip of document.querySelectorAll("button[data-judge]")) chip.setAttribute("aria-pressed", chip.dataset.judge === state.judge);
    byId("class").value = state.class;
    byId("sort").value = state.sort;
    const count = shown().length;
    byId("count").textContent = counted(count, cards.length);
    byId("empty").hidden = count > 0;
  }

  function change(part) {
    state = { ...state, ...part };
    const told = new URLSearchParams(Object.entries(state).filter(([key, value]) => value !== start[key]));
    history.replaceState(null, "", `#${told.size ? told : "gallery"}`);
    show();
  }

  function read() { // of the address; a link to a section leaves the filter alone
    if (!location.hash.includes("=")) return;
    const told = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    state = { ...start, ...Object.fromEntries(Object.keys(start).filter((key) => key in told).map((key) => [key, told[key]])) };
    if (!sorts[state.sort]) state.sort = "index";
    show();
    byId("gallery").scrollIntoView();
  }

  byId("tools").hidden = false;
  document.addEventListener("click", (event) => {
    const chip = event.target.closest("button[data-kind], button[data-judge]");
    if (chip?.dataset.judge) change({ judge: chip.dataset.judge });
    else if (chip) change({ kind: chip.dataset.kind });
  });
  byId("class").addEventListener("input", (event) => change({ class: event.target.value.trim() }));
  byId("sort").addEventListener("change", (event) => change({ sort: event.target.value }));
  addEventListener("hashchange", read);
  show();
  read();
  largeView(shown, about, known, beginning.all);
}

function largeView(shown, about, known, showAll) {
  const dialog = byId("view"), frame = byId("view-frame");
  let at = null;

  function element(tag, text) {
    const made = document.createElement(tag);
    made.textContent = text;
    return made;
  }

  function guessButton(guess, i, own) {
    const button = element("button", `${guess.name} `);
    button.type = "button";
    button.append(element("span", guess.told), element("small", guess.below));
    button.addEventListener("click", () => draw(own, i));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  function draw(card, chosen) {
    const picture = about[card.dataset.index], copy = card.querySelector(".frame").cloneNode(true);
    at = card;
    for (const img of copy.querySelectorAll("img")) img.loading = "eager";
    const [x0, y0, x1, y1] = picture.guesses[chosen].box || []; // without boxes there is none drawn, either
    for (const rect of copy.querySelectorAll(".by-known")) rect.remove();
    for (const rect of copy.querySelectorAll(".by-first")) {
      rect.classList.remove("by-first");
      for (const [key, value] of Object.entries({ x: x0, y: y0, width: x1 - x0, height: y1 - y0 })) rect.setAttribute(key, value);
    }
    frame.replaceChildren(copy);
    byId("view-title").textContent = picture.class;
    byId("view-about").replaceChildren(...picture.lines.map((line) => element("p", line)));
    byId("view-guesses").replaceChildren(...picture.guesses.map((one, i) => guessButton(one, i, card)));
    byId("view-guesses").querySelectorAll("button").forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
    const all = shown(), place = all.indexOf(card);
    byId("view-place").textContent = `${place + 1} of ${all.length}`;
    byId("previous").setAttribute("aria-disabled", place === 0); // not disabled: that would lose the focus, and the keys with it
    byId("next").setAttribute("aria-disabled", place === all.length - 1);
  }

  const first = (card) => draw(card, known() ? about[card.dataset.index].guesses.length - 1 : 0);
  function go(step) {
    const all = shown(), card = all[all.indexOf(at) + step];
    if (card) first(card);
  }

  byId("cards").addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    first(card);
    if (byId("map")) byId("view-map").value = byId("map").value;
    dialog.showModal();
  });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && event.target.type !== "range") { event.preventDefault(); go(step); }
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    if (at?.classList.contains("later")) showAll();
    at?.querySelector("button").focus();
  });
  byId("previous").addEventListener("click", () => go(-1));
  byId("next").addEventListener("click", () => go(1));
  byId("close").addEventListener("click", () => dialog.close());
  byId("view-map")?.addEventListener("input", (event) => {
    byId("map").value = event.target.value;
    byId("map").dispatchEvent(new Event("input"));
  });
}

function comparison() {
  const list = byId("compared");
  if (!list) return;
  const cards = [...list.children], chips = byId("compared-chips"), wanted = byId("compared-class"), sort = byId("compared-sort");
  const beginning = firstOf(list, byId("more"));
  let only = "";
  const show = () => {
    const name = wanted.value.trim().toLowerCase(), key = sort.value;
    for (const card of cards) card.hidden = (only && !card.dataset[only]) || !card.dataset.class.toLowerCase().includes(name);
    list.append(...[...cards].sort((a, b) => a.dataset[key] - b.dataset[key] || a.dataset.rank - b.dataset.rank));
    beginning.show();
    for (const chip of chips.children) chip.setAttribute("aria-pressed", chip.dataset.only === only);
    const count = cards.filter((card) => !card.hidden).length;
    byId("compared-count").textContent = counted(count, cards.length);
    byId("compared-empty").hidden = count > 0;
  };
  byId("compared-tools").hidden = false;
  chips.addEventListener("click", (event) => {
    const chip = event.target.closest("button");
    if (chip) { only = chip.dataset.only; show(); }
  });
  wanted.addEventListener("input", show);
  sort.addEventListener("change", show);
  show();
}

theme();
sections();
looks();
gallery();
comparison();
