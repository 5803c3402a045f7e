import { html, raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";
import { scriptTag } from "../cli/page-tags.ts";
import { cartCount } from "./cart.ts";
import { categories } from "./catalogue.ts";
import type { PageEvent, Visit } from "./visit.ts";

export type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

export interface PageParts {
  title: string;
  description?: string;
  events?: readonly PageEvent[];
  body: Html;
}

export const layout = (visit: Visit, { title, description, events = [], body }: PageParts): Html =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title === "" ? "" : `${title} · `}Slootkant</title>
        <meta name="description" content="${description ?? "Good things from below sea level."}" />
        <meta name="color-scheme" content="light dark" />
        <link rel="icon" href="/assets/icon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/assets/shop.css" />
        <script type="application/json" id="polder-notice">
          ${json(visit.notice)}
        </script>
        ${raw(scriptTag(visit, visit.writeKey, visit.collectorUrl))}
        <script async src="${visit.collectorUrl}/polder-banner.js"></script>
        <script defer src="/assets/shop.js"></script>
      </head>
      <body>
        <p class="unseen" role="status" id="consent-said"></p>
        <header class="top">
          <a class="skip" href="#main">To the content</a>
          <div class="wide top-row">
            <a class="wordmark" href="/">${wordmark()}<span>Slootkant</span></a>
            <nav aria-label="Shop">
              <ul class="menu">
                ${categories.map(({ slug, name }) => menuItem(visit, `/category/${slug}`, name))}
                ${menuItem(visit, "/bouquet", "Bouquets")} ${menuItem(visit, "/about", "About")}
              </ul>
            </nav>
            <ul class="menu aside">
              ${menuItem(visit, "/account", visit.customer ? "Your account" : "Log in")}
              ${menuItem(visit, "/cart", cartLabel(visit))}
            </ul>
          </div>
          ${waterline()}
        </header>
        <main id="main" tabindex="-1">${body}</main>
        ${footer(visit)}
        <script type="application/json" id="page-events">
          ${json(events)}
        </script>
      </body>
    </html>`;

/** JSON that cannot end the script element it stands in. */
export const json = (value: unknown): HtmlEscapedString => raw(JSON.stringify(value).replaceAll("<", "\\u003c"));

const menuItem = (visit: Visit, path: string, label: string | Html): Html => {
  const isHere = visit.path === path || visit.path.startsWith(`${path}/`);
  return html`<li><a href="${path}" ${isHere ? raw('aria-current="page"') : ""}>${label}</a></li>`;
};

const cartLabel = (visit: Visit): Html => {
  const count = cartCount(visit.cart);
  return html`Cart<span class="count" id="cart-count"
      >${count}<span class="unseen">${count === 1 ? " item" : " items"}</span></span
    >`;
};

const wordmark = () =>
  raw(
    '<svg viewBox="0 0 40 40" width="34" height="34" aria-hidden="true" focusable="false"><rect width="40" height="40" rx="9" class="mark-land"/><path class="mark-sky" d="M0 9A9 9 0 0 1 9 0H31A9 9 0 0 1 40 9V14H0Z"/><path class="mark-red" d="M13 26V15M27 26V15"/><path class="mark-tulip" d="M8 8C8 5 10 4 10.500 3C11.500 4.500 12 5 13 2.500C14 5 14.500 4.500 15.500 3C16 4 18 5 18 8C18 14 8 14 8 8ZM22 8C22 5 24 4 24.500 3C25.500 4.500 26 5 27 2.500C28 5 28.500 4.500 29.500 3C30 4 32 5 32 8C32 14 22 14 22 8Z"/><path class="mark-water" d="M0 27Q5 24 10 27T20 27T30 27T40 27V31A9 9 0 0 1 31 40H9A9 9 0 0 1 0 31Z"/></svg>',
  );

// Everything on the page lies under this line, as everything in the shop does.
const waterline = () =>
  raw(
    '<div class="waterline" aria-hidden="true"><svg viewBox="0 0 1200 14" preserveAspectRatio="none" focusable="false"><path d="M0 7Q25 0 50 7T100 7T150 7T200 7T250 7T300 7T350 7T400 7T450 7T500 7T550 7T600 7T650 7T700 7T750 7T800 7T850 7T900 7T950 7T1000 7T1050 7T1100 7T1150 7T1200 7" vector-effect="non-scaling-stroke"/></svg><span class="wide">sea level</span></div>',
  );

const footer = (visit: Visit): Html =>
  html`<footer class="bottom">
    <div class="wide bottom-grid">
      <section aria-labelledby="letter-title">
        <h2 id="letter-title">The ditch letter</h2>
        <p>One letter a month: what flowers, what ripens, what the water did.</p>
        <form class="letter" method="post" action="/newsletter" data-polder-identify>
          <label for="letter-email">E-mail address</label>
          <div class="joined">
            <input
              id="letter-email"
              name="email"
              type="email"
              autocomplete="email"
              required
              data-polder-trait="email"
            />
            <button type="submit">Send it to me</button>
          </div>
        </form>
      </section>
      <section aria-labelledby="help-title">
        <h2 id="help-title">Good to know</h2>
        <ul class="plain">
          <li><a href="/about">Who we are</a></li>
          <li><a href="/privacy">What we know about you</a></li>
          <li><a href="/your-data">Your data</a></li>
          <li><button type="button" class="link" data-polder-consent-open>Your privacy choice</button></li>
        </ul>
      </section>
      <section aria-labelledby="choice-title">
        <h2 id="choice-title">Right now</h2>
        <p class="choice-note" id="choice-note">Looking up your choice…</p>
        <p><a href="${visit.liveUrl}">See the live page</a></p>
      </section>
    </div>
    <p class="wide small">
      Slootkant is a made-up shop that comes with Polder. Nothing is sold, no card is charged. 4.2 metres below the sea.
    </p>
  </footer>`;
