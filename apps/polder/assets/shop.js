// The shop's side of Polder: what a page tells after a yes, the note on the choice, and the logout. It works without Polder too.
const tag = document.querySelector("script[data-site]");
const { purposes } = JSON.parse(document.getElementById("polder-notice").textContent);
const notes = {
  unset: "You have not chosen yet. Nothing is stored or sent.",
  denied: "You said no. Nothing is stored or sent.",
  absent: "Polder is not here (blocked, or not running). Nothing is stored or sent.",
};

const showNote = (state, words) => {
  document.documentElement.dataset.choice = state;
  for (const note of document.querySelectorAll(".choice-note")) {
    note.dataset.state = state;
    note.textContent = words;
  }
};

const wordsOf = ({ status, purposes: held, at }) => {
  if (status !== "granted") return notes[status];
  const granted = Object.keys(purposes).filter((purpose) => held[purpose]);
  const titles = granted.map((purpose) => `“${(purposes[purpose].en ?? Object.values(purposes[purpose])[0]).title}”`);
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long" }).format(new Date(at));
  return `You said yes on ${day}: ${titles.join(", ")}.`;
};

const start = (polder) => {
  let hasTold = false;
  const follow = (choice) => {
    showNote({ granted: "yes", denied: "no", unset: "none" }[choice.status], wordsOf(choice));
    if (hasTold || choice.status !== "granted") return;
    hasTold = true;
    for (const { name, properties } of JSON.parse(document.getElementById("page-events").textContent))
      polder.track(name, properties);
  };
  polder.consent.onChange((choice) => {
    follow(choice);
    document.getElementById("consent-said").textContent = wordsOf(choice);
  });
  document.querySelector("[data-logout]")?.addEventListener("submit", () => polder.reset());
  follow(polder.consent.get());
};

for (const form of document.querySelectorAll("[data-polder-event='Product Added']")) {
  form.addEventListener("input", () => form.setAttribute("data-polder-prop-quantity", form.elements.quantity.value));
}
// The tag is async: it may have come before this script, come later, or be blocked.
if (window.polder) start(window.polder);
else {
  tag.addEventListener("load", () => (window.polder ? start(window.polder) : showNote("absent", notes.absent)));
  tag.addEventListener("error", () => showNote("absent", notes.absent));
}
