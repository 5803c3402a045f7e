import { html } from "hono/html";
import { layout, type Html } from "../layout.ts";
import type { Visit } from "../visit.ts";

/** What `/v1/consent` tells a visitor, and what it lets them do. The script fills it in: only the browser has the cookie that says who asks. */
export const yourDataPage = (visit: Visit): Html =>
  layout(visit, {
    title: "Your data",
    body: html`<div
      class="wide section narrow prose"
      id="your-data"
      data-polder-private
      data-consent-url="${visit.liveUrl}/v1/consent"
    >
      <h1>Your data</h1>
      <p class="lead">
        What is on record of your choices in this browser, in the words that you were shown, and the way to take a yes
        back.
      </p>
      <p role="status" id="data-said">Looking up what is on record…</p>
      <section class="panel" aria-labelledby="state-title">
        <h2 id="state-title">Your choice now</h2>
        <dl class="facts" id="data-state"></dl>
        <p class="row">
          <button type="button" data-polder-consent-open>Change it</button>
          <button type="button" id="withdraw">Withdraw all of it</button>
        </p>
      </section>
      <section id="receipt" aria-labelledby="receipt-title" hidden>
        <h2 id="receipt-title" tabindex="-1">Receipt of your withdrawal</h2>
        <p>
          Number <code id="receipt-number"></code>. Keep it if you want to look at this receipt again: this browser no
          longer knows who it was, and neither do we.
        </p>
        <p id="receipt-said"></p>
        <div class="sideways" role="region" aria-label="What was removed" tabindex="0" id="receipt-lines" hidden>
          <table>
            <thead>
              <tr>
                <th scope="col">Where</th>
                <th scope="col">What was there of you</th>
                <th scope="col">What still says who you are</th>
              </tr>
            </thead>
            <tbody></tbody>
          </table>
        </div>
      </section>
      <section aria-labelledby="history-title">
        <h2 id="history-title">Every choice you made</h2>
        <p id="history-none">None is on record.</p>
        <ol class="history" id="history"></ol>
      </section>
      <section aria-labelledby="lookup-title">
        <h2 id="lookup-title">A receipt from before</h2>
        <form class="letter" id="lookup">
          <label for="lookup-number">Number of the receipt</label>
          <div class="joined">
            <input id="lookup-number" required maxlength="200" autocomplete="off" spellcheck="false" />
            <button type="submit">Look it up</button>
          </div>
        </form>
      </section>
      <script type="module" src="/assets/your-data.js"></script>
    </div>`,
  });
