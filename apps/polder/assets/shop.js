// The shop's side of Polder: the consent banner, what a page tells, and the logout. It works without Polder too.
const banner = document.getElementById("consent");
const heading = document.getElementById("consent-title");
const parts = document.getElementById("consent-form");
const tag = document.querySelector("script[data-site]");
const purposeNames = { measurement: "counting visits", profile: "your profile", ads: "our advertisements" };
const notes = {
  unset: "You have not chosen yet. Nothing is stored or sent.",
  denied: "You said no. Nothing is stored or sent.",
  absent: "Polder is not here (blocked, or not running). Nothing is stored or sent.",
};
let opener;

const showNote = (state, words) => {
  for (const note of document.querySelectorAll(".choice-note")) {
    note.dataset.state = state;
    note.textContent = words;
  }
};

const openBanner = () => {
  banner.hidden = false;
  // What the banner covers can still be scrolled into view, and so can what has the focus.
  document.documentElement.style.setProperty("scroll-padding-bottom", `${banner.offsetHeight + 16}px`);
  document.body.style.setProperty("padding-bottom", `${banner.offsetHeight}px`);
};

const closeBanner = () => {
  if (banner.hidden) return;
  const hadFocus = banner.contains(document.activeElement);
  banner.hidden = true;
  document.documentElement.style.removeProperty("scroll-padding-bottom");
  document.body.style.removeProperty("padding-bottom");
  if (hadFocus) (opener ?? document.getElementById("main")).focus({ preventScroll: true });
  opener = undefined;
};

const wordsOf = ({ status, purposes, at }) => {
  if (status !== "granted") return notes[status];
  const granted = Object.keys(purposeNames).filter((purpose) => purposes[purpose]);
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long" }).format(new Date(at));
  return `You said yes on ${day}: ${granted.map((purpose) => purposeNames[purpose]).join(", ")}.`;
};

const start = (polder) => {
  let hasTold = false;
  const follow = (choice) => {
    showNote({ granted: "yes", denied: "no", unset: "none" }[choice.status], wordsOf(choice));
    for (const purpose of Object.keys(purposeNames))
      parts.elements[purpose].checked = choice.status === "granted" && choice.purposes[purpose];
    if (choice.status === "unset") openBanner();
    else closeBanner();
    if (hasTold || choice.status !== "granted") return;
    hasTold = true;
    for (const { name, properties } of JSON.parse(document.getElementById("page-events").textContent))
      polder.track(name, properties);
  };
  const choose = (choice, variant) => {
    polder.consent.set(choice, { notice: { version: banner.dataset.notice, language: "en", variant } });
    document.getElementById("consent-said").textContent = wordsOf(polder.consent.get());
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-consent]");
    if (button) {
      const isYes = button.dataset.consent === "yes";
      choose(
        isYes ? { measurement: true, profile: true, ads: true } : "none",
        banner.contains(button) ? "banner" : "page",
      );
      closeBanner();
    }
    const link = event.target.closest("[data-consent-open]");
    if (link) {
      openBanner();
      opener = link;
      heading.focus();
    }
  });
  parts.addEventListener("submit", (event) => {
    event.preventDefault();
    choose(
      Object.fromEntries(Object.keys(purposeNames).map((purpose) => [purpose, parts.elements[purpose].checked])),
      "purposes",
    );
    closeBanner();
  });
  banner.addEventListener("keydown", (event) => {
    // Escape is not an answer: it only puts away a banner that was opened to look at an earlier one.
    if (event.key === "Escape" && polder.consent.get().status !== "unset") closeBanner();
  });
  document.querySelector("[data-logout]")?.addEventListener("submit", () => polder.reset());

  polder.consent.onChange(follow);
  follow(polder.consent.get());
};

for (const form of document.querySelectorAll("[data-polder-event='Product Added']")) {
  form.addEventListener("input", () => form.setAttribute("data-polder-prop-quantity", form.elements.quantity.value));
}
// The tag is async: it may have come before this script, come later, or be blocked.
if (window.polder) start(window.polder);
else {
  tag.addEventListener("load", () => (window.polder ? start(window.polder) : showNote("none", notes.absent)));
  tag.addEventListener("error", () => showNote("none", notes.absent));
}
