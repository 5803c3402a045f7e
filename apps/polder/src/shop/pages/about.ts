import { html } from "hono/html";
import { layout, type Html } from "../layout.ts";
import { polderLandscape } from "../pictures/polder-landscape.ts";
import type { Visit } from "../visit.ts";

export const aboutPage = (visit: Visit): Html =>
  layout(visit, {
    title: "About us",
    body: html`<div class="strip">${polderLandscape()}</div>
      <article class="wide section narrow prose">
        <h1>We live where the map is blue</h1>
        <p class="lead">In 1612 this was a lake. Then came forty-three mills, a lot of clay and even more patience.</p>
        <p>
          Slootkant is a shed on the side of a ditch, 4.2 metres below the sea. My grandmother sold bulbs from it, my
          uncle added cheese, and the kites came by themselves one windy afternoon. We sell what is made within cycling
          distance, and we know everyone who makes it.
        </p>
        <h2>What keeps us dry</h2>
        <p>
          A polder is land that people keep by looking after it together: everyone pays for the dike, everyone may look
          at the level. We treat what we know about our visitors the same way. It stays on our land, and you
          <a href="/privacy">decide whether it is there at all</a>.
        </p>
        <p><a class="button" href="/category/weather">Dress for the weather</a></p>
      </article>`,
  });
