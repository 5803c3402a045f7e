import { html } from "hono/html";
import { productsOf, type Category } from "../catalogue.ts";
import { layout, type Html } from "../layout.ts";
import type { Visit } from "../visit.ts";
import { productCard } from "./product-card.ts";

export const categoryPage = (visit: Visit, category: Category): Html =>
  layout(visit, {
    title: category.name,
    description: category.line,
    events: [{ name: "Product List Viewed", properties: { list: category.name, category: category.slug } }],
    body: html`<div class="wide section">
      <h1>${category.name}</h1>
      <p class="lead">${category.line}</p>
      <ul class="cards">
        ${productsOf(category.slug).map((product) => productCard(product, category.name))}
      </ul>
    </div>`,
  });
