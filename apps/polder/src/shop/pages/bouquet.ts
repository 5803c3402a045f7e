import { html } from "hono/html";
import { maxStems, stems, wraps } from "../bouquet.ts";
import { json, layout, type Html } from "../layout.ts";
import type { Visit } from "../visit.ts";

/** A small single-page application: one document, its own routes under /bouquet, drawn by `bouquet.js`. */
export const bouquetPage = (visit: Visit): Html =>
  layout(visit, {
    title: "Bouquet designer",
    description: "Choose the stems, the paper and the words.",
    body: html`<div class="wide section designer">
      <div class="designer-view">
        <svg class="picture" id="bouquet-view" viewBox="0 0 320 380" role="img" aria-labelledby="bouquet-words"></svg>
      </div>
      <div>
        <h1 id="step-title" tabindex="-1">Bouquet designer</h1>
        <nav aria-label="Steps of the bouquet">
          <ol class="steps" id="steps"></ol>
        </nav>
        <div id="step"><noscript>The bouquet designer needs JavaScript. The rest of the shop does not.</noscript></div>
        <p class="total"><span id="bouquet-words" aria-live="polite"></span> <strong id="bouquet-price"></strong></p>
        <p class="row-end" id="step-links"></p>
      </div>
      <script type="application/json" id="bouquet-prices">
        ${json({ stems, wraps, maxStems })}
      </script>
      <script defer src="/assets/bouquet.js"></script>
    </div>`,
  });
