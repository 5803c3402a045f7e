import { html } from "hono/html";
import type { Html } from "./layout.ts";

/** Version of the words below; it is stored with every choice, so a change of the words needs a new one. */
const noticeVersion = "2026-11";

/**
 * Yes and no are the same element with the same class, side by side on the first layer. Hidden until the script knows
 * that no choice was made, so it never flashes for people who chose already, and never traps anyone without scripts.
 */
export const consentBanner = (): Html =>
  html`<section
    class="consent"
    id="consent"
    role="region"
    aria-labelledby="consent-title"
    data-notice="${noticeVersion}"
    hidden
  >
    <div class="consent-words">
      <h2 id="consent-title" tabindex="-1">May we remember your visit?</h2>
      <p>
        Slootkant would like to count visits, keep a profile of what you look at and order here, and see which of our
        advertisements brought you. It all stays with us. Say no and nothing is stored or sent; the shop works the same.
        You can <a href="/privacy">change your mind</a> at any time, at the bottom of every page.
      </p>
    </div>
    <div class="consent-choice">
      <button type="button" class="choice" data-consent="yes">Yes, remember it</button>
      <button type="button" class="choice" data-consent="no">No, do not</button>
    </div>
    <details class="consent-parts">
      <summary>Choose per purpose</summary>
      <form id="consent-form">
        ${purposeBox("measurement", "Count visits", "How many people see a page. Without any name or number of yours.")}
        ${purposeBox("profile", "Remember what I do here", "Your visits, clicks and orders as one story, so that we understand it.")}
        ${purposeBox("ads", "See which advertisement brought me", "The number that an advertisement puts in the address of the first page.")}
        <button type="submit" class="choice">Save these</button>
      </form>
    </details>
  </section>`;

const purposeBox = (purpose: string, label: string, words: string): Html =>
  html`<div class="purpose">
    <input type="checkbox" id="purpose-${purpose}" name="${purpose}" aria-describedby="purpose-${purpose}-words" />
    <label for="purpose-${purpose}">${label}</label>
    <p id="purpose-${purpose}-words">${words}</p>
  </div>`;
