const banner = document.querySelector("#banner");

// The tag is async: it may come after this file, and not at all where something blocks it.
const script = document.querySelector("script[data-site]");
if (window.polder) start(window.polder);
else script.addEventListener("load", () => start(window.polder));

function start(polder) {
  const show = () => {
    banner.hidden = polder.consent.get().status !== "unset";
  };
  polder.consent.onChange(show);
  show();

  banner.addEventListener("click", ({ target }) => {
    const { choice } = target.dataset;
    if (!choice) return;
    polder.consent.set(choice);
    banner.hidden = true;
  });
  document.querySelector("#change")?.addEventListener("click", () => {
    banner.hidden = false;
  });
}
