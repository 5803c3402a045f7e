// The site: it knows its data layer and nothing of Polder.
window.dataLayer = window.dataLayer || [];

const banner = document.querySelector("#banner");
const tellChoice = (choice) =>
  window.dataLayer.push({ event: "consent_choice", choice, notice: { version: "2026-11" } });

const chosen = localStorage.getItem("choice");
if (chosen) tellChoice(chosen);
banner.hidden = chosen !== null;
banner.addEventListener("click", ({ target }) => {
  const { choice } = target.dataset;
  if (!choice) return;
  localStorage.setItem("choice", choice);
  tellChoice(choice);
  banner.hidden = true;
});

const entries = {
  add: { event: "add_to_cart", ecommerce: { product_id: "tulip-25", price: 12.5, currency: "EUR" } },
  "log-in": { event: "login", user_id: "customer-7", traits: { plan: "garden" } },
  "log-out": { event: "logout" },
};
for (const [id, entry] of Object.entries(entries)) {
  document.querySelector(`#${id}`)?.addEventListener("click", () => window.dataLayer.push(entry));
}
