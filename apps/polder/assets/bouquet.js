// The bouquet designer: one document, routes under /bouquet, state in the page only.
const prices = JSON.parse(document.getElementById("bouquet-prices").textContent);
const steps = [
  { id: "stems", path: "/bouquet/stems", title: "Choose the stems" },
  { id: "wrap", path: "/bouquet/wrap", title: "Choose the paper" },
  { id: "card", path: "/bouquet/card", title: "Write the card" },
];
const state = { counts: prices.stems.map((stem) => stem.start), wrap: prices.wraps[0].id, words: "" };
const byId = (id) => document.getElementById(id);
const money = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const total = () => state.counts.reduce((sum, count) => sum + count, 0);
const wrap = () => prices.wraps.find((choice) => choice.id === state.wrap);
const cents = () => state.counts.reduce((sum, count, index) => sum + count * prices.stems[index].cents, wrap().cents);
const recipe = () => `bouquet-${state.counts.join("-")}-${state.wrap}`;

const flower = {
  tulip: (colour) =>
    `<path d="M-15 0C-17-18-11-30-8-34C-5-27-2-26 0-36C2-26 5-27 8-34C11-30 17-18 15 0C12 13-12 13-15 0Z" fill="${colour}"/><path d="M-8-34C-12-20-11 0-2 9C-13 10-16 2-15 0C-17-18-11-30-8-34Z" fill="#000" opacity=".16"/>`,
  narcissus: (colour) =>
    `${[0, 60, 120, 180, 240, 300].map((turn) => `<path d="M0-3C-9-12-8-24 0-29C8-24 9-12 0-3Z" transform="rotate(${turn})" fill="${colour}"/>`).join("")}<circle r="10" fill="#e9a820"/><circle r="6" fill="#c97a12"/>`,
  hyacinth: (colour) =>
    [
      [0, -26],
      [-6, -17],
      [6, -17],
      [-9, -7],
      [0, -8],
      [9, -7],
      [-8, 3],
      [1, 3],
      [9, 3],
      [0, 12],
    ]
      .map(([x, y]) => `<ellipse cx="${x}" cy="${y}" rx="5.500" ry="6" fill="${colour}"/>`)
      .join(""),
};
flower.night = flower.tulip;

function drawBouquet() {
  const heads = prices.stems.flatMap((stem, index) => Array.from({ length: state.counts[index] }, () => stem));
  // A sunflower's spiral spreads any number of heads evenly; the order is mixed by a fixed step so that kinds do not clump.
  const step = [7, 5, 11, 3, 1].find((candidate) => heads.length % candidate !== 0) ?? 1;
  const placed = heads.map((_, place) => {
    const radius = 13 + Math.sqrt(place) * 19;
    const angle = place * 2.4;
    return {
      stem: heads[(place * step) % heads.length],
      x: 160 + Math.cos(angle) * radius * 1.1,
      y: 128 + Math.sin(angle) * radius * 0.75,
    };
  });
  placed.sort((a, b) => a.y - b.y);
  const paper = wrap().colour;
  byId("bouquet-view").innerHTML =
    `<rect width="320" height="380" fill="#cfe0da"/><path d="M0 318H320V380H0Z" fill="#a98a5d"/>` +
    `<path d="M66 150L160 372L254 150Q206 196 160 178Q114 196 66 150Z" fill="${paper}" transform="translate(0 -8)"/>` +
    placed
      .map(
        ({ x, y }) =>
          `<path d="M${x} ${y}Q${(x + 160) / 2} ${y + 70} 160 300" fill="none" stroke="#4f7a3a" stroke-width="4"/>`,
      )
      .join("") +
    placed
      .map(
        ({ x, y, stem }) =>
          `<g transform="translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${((x - 160) / 6).toFixed(1)})">${flower[stem.id](stem.colour)}</g>`,
      )
      .join("") +
    `<path d="M58 176Q112 232 160 206Q208 232 262 176L176 366Q160 376 144 366Z" fill="${paper}"/><path d="M160 206Q208 232 262 176L176 366Q168 370 160 371Z" fill="#000" opacity=".1"/>` +
    `<path d="M122 296Q160 314 198 296L194 310Q160 326 126 310Z" fill="#b02d24"/><path d="M160 312L146 346L156 340L160 350L164 340L174 346Z" fill="#b02d24"/>` +
    (state.words
      ? `<g transform="rotate(7 236 262)"><rect x="204" y="240" width="70" height="46" rx="3" fill="#fffdf7"/><path d="M212 254H262M212 264H266M212 274H246" stroke="#4d5b53" stroke-width="2"/></g>`
      : "");
}

function drawSums() {
  const count = total();
  byId("bouquet-words").textContent = `${count} ${count === 1 ? "stem" : "stems"} in ${wrap().name.toLowerCase()}`;
  byId("bouquet-price").textContent = money.format(cents() / 100);
  drawBouquet();
}

const stepViews = {
  stems: () =>
    prices.stems.map((stem, index) => {
      const input = element("input", {
        type: "number",
        id: `stem-${stem.id}`,
        min: "0",
        max: String(prices.maxStems),
        inputmode: "numeric",
        value: String(state.counts[index]),
      });
      input.addEventListener("input", () => {
        state.counts[index] = Math.min(Math.max(Math.trunc(Number(input.value)) || 0, 0), prices.maxStems);
        drawSums();
        drawLinks("stems");
      });
      return element(
        "div",
        { class: "stem-row" },
        element("label", { for: input.id }, stem.name),
        element("span", {}, money.format(stem.cents / 100)),
        input,
      );
    }),
  wrap: () => {
    const rows = prices.wraps.map((choice) => {
      const input = element("input", {
        type: "radio",
        name: "wrap",
        id: `wrap-${choice.id}`,
        value: choice.id,
        class: "radio",
      });
      input.checked = state.wrap === choice.id;
      input.addEventListener("change", () => {
        state.wrap = choice.id;
        drawSums();
      });
      return element(
        "div",
        { class: "wrap-row" },
        input,
        element("label", { for: input.id }, choice.name),
        element("span", {}, choice.cents ? `+ ${money.format(choice.cents / 100)}` : "included"),
      );
    });
    return [element("fieldset", {}, element("legend", {}, "Paper"), ...rows)];
  },
  card: () => {
    const area = element("textarea", { id: "words", rows: "3", maxlength: "120" });
    area.value = state.words;
    area.addEventListener("input", () => {
      state.words = area.value;
      drawBouquet();
    });
    // The words are for the receiver only.
    return [
      element(
        "div",
        { class: "field", "data-polder-private": "" },
        element("label", { for: "words" }, "Words on the card (may stay empty)"),
        area,
      ),
    ];
  },
};

const stepLink = (step, label, kind) => element("a", { href: step.path, class: kind, "data-step": step.id }, label);

function drawLinks(id) {
  const place = steps.findIndex((step) => step.id === id);
  const [before, after] = [steps[place - 1], steps[place + 1]];
  const links = byId("step-links");
  links.replaceChildren();
  if (before) links.append(stepLink(before, "Back", "button quiet"), " ");
  if (after) links.append(stepLink(after, "Next", "button"));
  else links.append(cartForm());
}

function cartForm() {
  const button = element("button", { type: "submit" }, "Put in the cart");
  button.disabled = total() === 0;
  const marks = {
    event: "Product Added",
    "prop-product-id": "SK-900",
    "prop-name": "Bouquet",
    "prop-category": "bouquet",
    "prop-price": cents() / 100,
    "prop-currency": "EUR",
    "prop-quantity": 1,
  };
  return element(
    "form",
    {
      method: "post",
      action: "/cart",
      ...Object.fromEntries(Object.entries(marks).map(([name, value]) => [`data-polder-${name}`, String(value)])),
    },
    element("input", { type: "hidden", name: "item", value: recipe() }),
    element("input", { type: "hidden", name: "quantity", value: "1" }),
    button,
  );
}

function show(path, takesFocus) {
  const step = steps.find((known) => known.path === path) ?? steps[0];
  document.title = `${step.title} · Bouquet designer · Slootkant`;
  byId("step-title").textContent = step.title;
  byId("steps").replaceChildren(
    ...steps.map((known, index) => {
      const link = stepLink(known, `${index + 1}. ${known.id[0].toUpperCase()}${known.id.slice(1)}`, "");
      if (known === step) link.setAttribute("aria-current", "step");
      return element("li", {}, link);
    }),
  );
  byId("step").replaceChildren(...stepViews[step.id]());
  drawLinks(step.id);
  drawSums();
  if (takesFocus) byId("step-title").focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-step]");
  if (
    !link ||
    event.defaultPrevented ||
    event.button !== 0 ||
    event.metaKey ||
    event.ctrlKey ||
    event.shiftKey ||
    event.altKey
  )
    return;
  event.preventDefault();
  if (link.pathname !== location.pathname) history.pushState(null, "", link.pathname);
  show(link.pathname, true);
});
window.addEventListener("popstate", () => show(location.pathname, true));
show(location.pathname, false);
