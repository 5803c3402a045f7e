import { html } from "hono/html";
import { categories, findProduct, productsOf, type Product } from "../catalogue.ts";
import { layout, type Html } from "../layout.ts";
import { polderLandscape } from "../pictures/polder-landscape.ts";
import { productPicture } from "../pictures/product-picture.ts";
import type { Visit } from "../visit.ts";
import { productCard } from "./product-card.ts";

const thisWeek = ["dike-red-tulips", "wooden-shoes", "farmhouse-cheese", "storm-kite"];

export function homePage(visit: Visit): Html {
  const chosen = thisWeek
    .map((slug) => findProduct(slug))
    .filter((product): product is Product => product !== undefined);
  return layout(visit, {
    title: "",
    body: html`<section class="hero">
        ${polderLandscape()}
        <div class="hero-words">
          <h1>Good things from below sea level</h1>
          <p>Bulbs, cheese, wooden shoes and kites, made on land that used to be water.</p>
          <p><a class="button" href="/category/bulbs">Plant something</a></p>
        </div>
      </section>
      <section class="wide section" aria-labelledby="week-title">
        <h2 id="week-title">From the shed this week</h2>
        <ul class="cards">
          ${chosen.map((product) => productCard(product, "this week"))}
        </ul>
      </section>
      <section class="wide section" aria-labelledby="shelves-title">
        <h2 id="shelves-title">Three shelves</h2>
        <ul class="shelves">
          ${categories.map(
            ({ slug, name, line }) =>
              html`<li>
                <a href="/category/${slug}"
                  ><span class="trio"
                    >${productsOf(slug)
                      .slice(1, 4)
                      .map((product) => productPicture(product.slug))}</span
                  ><span class="shelf-name">${name}</span> <span class="shelf-line">${line}</span></a
                >
              </li>`,
          )}
        </ul>
      </section>
      <section class="wide section split" aria-labelledby="bouquet-title">
        <div>
          <h2 id="bouquet-title">Or tie your own</h2>
          <p>Choose the stems, the paper and the words. We cut them the same morning, whatever the weather says.</p>
          <p><a class="button" href="/bouquet">Open the bouquet designer</a></p>
        </div>
        ${productPicture("night-barge-tulips")}
      </section>`,
  });
}
