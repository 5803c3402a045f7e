import { html } from "hono/html";
import { euros, findCategory, priceText, productsOf, type Product } from "../catalogue.ts";
import { layout, type Html } from "../layout.ts";
import { productPicture } from "../pictures/product-picture.ts";
import type { Visit } from "../visit.ts";
import { productCard } from "./product-card.ts";

export function productPage(visit: Visit, product: Product): Html {
  const shelf = findCategory(product.category);
  const others = productsOf(product.category).filter(({ slug }) => slug !== product.slug);
  const about = {
    product_id: product.sku,
    name: product.name,
    category: product.category,
    price: euros(product.cents),
    currency: "EUR",
  };
  return layout(visit, {
    title: product.name,
    description: product.line,
    events: [{ name: "Product Viewed", properties: about }],
    body: html`<article class="wide section product">
        <div class="product-picture">${productPicture(product.slug)}</div>
        <div>
          <p class="crumbs"><a href="/category/${product.category}">${shelf?.name}</a></p>
          <h1>${product.name}</h1>
          <p class="lead">${product.line}</p>
          <p class="price">${priceText(product.cents)}</p>
          <form
            class="add"
            method="post"
            action="/cart"
            data-polder-event="Product Added"
            data-polder-prop-product-id="${product.sku}"
            data-polder-prop-name="${product.name}"
            data-polder-prop-category="${product.category}"
            data-polder-prop-price="${euros(product.cents)}"
            data-polder-prop-currency="EUR"
            data-polder-prop-quantity="1"
          >
            <input type="hidden" name="item" value="${product.slug}" />
            <label for="quantity">How many</label>
            <input
              id="quantity"
              name="quantity"
              type="number"
              inputmode="numeric"
              min="1"
              max="20"
              value="1"
              required
            />
            <button type="submit">Put in the cart</button>
          </form>
          <p>${product.story}</p>
          <dl class="facts">
            ${product.facts.map(
              ([label, value]) =>
                html`<div>
                  <dt>${label}</dt>
                  <dd>${value}</dd>
                </div>`,
            )}
          </dl>
        </div>
      </article>
      <section class="wide section" aria-labelledby="others-title">
        <h2 id="others-title">From the same shelf</h2>
        <ul class="cards">
          ${others.map((other) => productCard(other, "same shelf"))}
        </ul>
      </section>`,
  });
}
