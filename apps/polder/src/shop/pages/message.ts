import { html } from "hono/html";
import { layout, type Html } from "../layout.ts";
import type { Visit } from "../visit.ts";

/** A page that says one thing. */
export const messagePage = (visit: Visit, { title, words }: { title: string; words: string }): Html =>
  layout(visit, {
    title,
    body: html`<div class="wide section narrow">
      <h1>${title}</h1>
      <p class="lead">${words}</p>
      <p><a class="button" href="/">Back to the shed</a></p>
    </div>`,
  });
