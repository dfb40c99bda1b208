// Windows one frame on a canvas: presets, sliders, drag and arrow keys.
"use strict";

(async () => {
  const stage = document.querySelector(".stage[data-levels]");
  if (!stage) return;
  const words = JSON.parse(document.getElementById("controls").dataset.words);

  let answer;
  try {
    answer = await fetch(stage.dataset.levels, { redirect: "error" });
    if (!answer.ok) {
      const says = document.createElement("p");
      says.className = "say";
      says.textContent = words.broken;
      says.setAttribute("role", "alert");
      stage.append(says); // below the tile, which says why
      return;
    }
  } catch { return; }
  const packed = await answer.arrayBuffer();
  const length = new DataView(packed).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(packed, 4, length)));
  // Copied: 16-bit views need an even offset.
  const bytes = packed.slice(4 + length);
  const { rows, columns } = about;

  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = Math.round(rows * about.aspect);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", stage.querySelector("img").alt);
  const flat = document.createElement("canvas");
  flat.width = columns;
  flat.height = rows;
  const image = flat.getContext("2d").createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);

  function show() {
    flat.getContext("2d").putImageData(image, 0, 0);
    canvas.getContext("2d").drawImage(flat, 0, 0, canvas.width, canvas.height);
  }

  if (about.colour) {
    const rgb = new Uint8Array(bytes);
    for (let i = 0; i < pixels.length; i += 1) {
      pixels[i] = 0xff000000 | (rgb[3 * i + 2] << 16) | (rgb[3 * i + 1] << 8) | rgb[3 * i];
    }
    show();
    stage.replaceChildren(canvas);
    return;
  }

  const levels = new Uint16Array(bytes);
  const table = new Uint32Array(65536);
  const controls = document.getElementById("controls");
  const buttons = controls.querySelector(".presets");
  const sliders = {};
  let current = { ...about.presets[0] };
  let waiting = false;

  // Grey in 0..1 of a modality value, as PS3.3 C.11.2.1.2 and C.11.2.1.3 say.
  function grey(value, level) {
    const { center, width } = current;
    if (current.curve.length) {
      const place = (level / (about.padding - 1)) * (current.curve.length - 1);
      const low = Math.floor(place);
      const high = Math.min(low + 1, current.curve.length - 1);
      return (current.curve[low] + (current.curve[high] - current.curve[low]) * (place - low)) / 255;
    }
    if (current.function === "SIGMOID") return 1 / (1 + Math.exp((-4 * (value - center)) / width));
    if (current.function === "LINEAR") {
      if (width <= 1) return value > center - 0.5 ? 1 : 0;
      return (value - (center - 0.5)) / (width - 1) + 0.5;
    }
    return (value - center) / width + 0.5;
  }

  function draw() {
    waiting = false;
    for (let level = 0; level < about.padding; level += 1) {
      let shade = Math.min(Math.max(grey(level * about.slope + about.intercept, level), 0), 1);
      if (about.inverted) shade = 1 - shade;
      const byte = Math.round(shade * 255);
      table[level] = 0xff000000 | (byte << 16) | (byte << 8) | byte;
    }
    table[about.padding] = 0xff000000;
    for (let i = 0; i < levels.length; i += 1) pixels[i] = table[levels[i]];
    show();
    for (const [name, [slider, output]] of Object.entries(sliders)) {
      slider.value = current[name];
      output.textContent = Number(current[name].toPrecision(4));
    }
    for (const button of buttons.children) {
      button.setAttribute("aria-pressed", String(button.dataset.preset === current.key));
    }
  }

  function redraw() {
    if (!waiting) { waiting = true; requestAnimationFrame(draw); }
  }

  const span = about.slope * (about.padding - 1);
  const least = Math.max(span / 4096, 1e-9);

  // Leaves the preset: from here on it is the reader's own window.
  function change(center, width) {
    const own = current.function === "SIGMOID" ? "SIGMOID" : "LINEAR_EXACT";
    current = { key: "", center, width: Math.max(width, least), function: own, curve: [] };
    redraw();
  }

  for (const preset of about.presets) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.preset = preset.key;
    const [kind, number] = preset.key.split("-");
    const several = about.presets.filter((item) => item.key.startsWith(`${kind}-`)).length > 1;
    button.textContent = (words[kind] ?? kind).replace("{n}", several ? number : "").trim();
    button.addEventListener("click", () => { current = { ...preset }; redraw(); });
    buttons.append(button);
  }
  const reach = Math.max(span, ...about.presets.map((item) => item.width));
  for (const name of ["center", "width"]) {
    const slider = controls.querySelector(`#${name}`);
    const output = controls.querySelector(`output[for=${name}]`);
    slider.min = name === "width" ? least : Math.min(about.intercept, ...about.presets.map((item) => item.center));
    slider.max = name === "width" ? reach : Math.max(about.intercept + span, ...about.presets.map((item) => item.center));
    slider.step = "any";
    slider.addEventListener("input", () => {
      const value = Number(slider.value);
      if (name === "center") change(value, current.width); else change(current.center, value);
    });
    sliders[name] = [slider, output];
  }

  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch") return; // touch scrolls
    held = { x: event.clientX, y: event.clientY, ...current };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    const per = Math.max(held.width, span / 256) / 300; // of a pixel of the mouse
    change(held.center + (event.clientY - held.y) * per, held.width + (event.clientX - held.x) * per);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const size = Math.max(current.width, span / 256) * 0.05;
    change(current.center + by[0] * size, current.width + by[1] * size);
  });

  draw();
  stage.replaceChildren(canvas);
  controls.hidden = false;
})();
