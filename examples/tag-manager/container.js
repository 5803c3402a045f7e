// What the tag manager runs on every page: paste it there as a custom HTML tag, between <script> and </script>.
// In old JavaScript, because some tag managers refuse newer.
(function () {
  var host = "http://localhost:8081";
  var site = "pk_replace_with_your_key";

  // Made by script: tag managers drop the data- attributes of a <script> that they inject.
  var tag = document.createElement("script");
  tag.async = true;
  tag.src = host + "/polder.js";
  tag.dataset.site = site;
  tag.addEventListener("load", bridge);
  document.head.appendChild(tag);

  /** What the page told the data layer before, and what it tells from now on. */
  function bridge() {
    var dataLayer = (window.dataLayer = window.dataLayer || []);
    var push = dataLayer.push;
    dataLayer.push = function () {
      Array.prototype.forEach.call(arguments, tell);
      return push.apply(dataLayer, arguments);
    };
    dataLayer.forEach(tell);
  }

  function tell(entry) {
    var polder = window.polder;
    var name = entry.event;
    if (name === "consent_choice") {
      // Consent banners repeat on every page what was chosen once: only a change is a choice.
      var status = entry.choice === "none" ? "denied" : "granted";
      if (polder.consent.get().status !== status) polder.consent.set(entry.choice, { notice: entry.notice });
    } else if (name === "login") polder.identify(entry.user_id, entry.traits);
    else if (name === "logout") polder.reset();
    // Without a name it is data for others; "gtm.…" are the tag manager's own.
    else if (typeof name === "string" && name.indexOf("gtm.") !== 0) polder.track(name, entry.ecommerce);
  }
})();
