import { html } from "hono/html";
import { priceText, type Product } from "../catalogue.ts";
import type { Html } from "../layout.ts";
import { productPicture } from "../pictures/product-picture.ts";

/** `list` says where the card stands, so that clicks can be told apart. */
export const productCard = (product: Product, list: string): Html =>
  html`<li class="card">
    <a
      href="/product/${product.slug}"
      data-polder-event="Product Clicked"
      data-polder-prop-product-id="${product.sku}"
      data-polder-prop-name="${product.name}"
      data-polder-prop-list="${list}"
    >
      ${productPicture(product.slug)}
      <span class="card-name">${product.name}</span>
      <span class="card-price">${priceText(product.cents)}</span>
      <span class="card-line">${product.line}</span>
    </a>
  </li>`;
