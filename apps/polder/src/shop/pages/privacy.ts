import { html } from "hono/html";
import { layout, type Html } from "../layout.ts";
import type { Visit } from "../visit.ts";

export const privacyPage = (visit: Visit): Html =>
  layout(visit, {
    title: "What we know about you",
    body: html`<article class="wide section narrow prose">
      <h1>What we know about you</h1>
      <p class="lead">
        Before you choose: nothing. After a no: still nothing. After a yes: what is on this page, and nowhere else.
      </p>
      <div class="panel">
        <p class="choice-note">Looking up your choice…</p>
        <p class="row">
          <button type="button" data-polder-consent-open>Your privacy choice</button>
          <a href="/your-data">See what is on record, or take it back</a>
        </p>
      </div>
      <h2>After a yes</h2>
      <p>
        Pages, clicks, forms marked for it and orders, kept on our own server under a random number in a first-party
        cookie, for thirteen months at most. Never passwords, never what you type elsewhere, your internet address only
        shortened. A yes counts for a year; then we ask again.
      </p>
      <h2>After a no, or when you withdraw</h2>
      <p>
        The browser keeps one word, the same for everyone, so that we do not ask again for six months. When you
        withdraw, the number and everything stored on this device go away at once, and on our server nothing says any
        more who it was.
      </p>
      <h2>What the shop itself needs</h2>
      <p>
        A cookie with your cart and one with your login, until you close the browser or log out. Those work without
        asking, because you asked for them.
      </p>
    </article>`,
  });
