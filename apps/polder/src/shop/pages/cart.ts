import { html } from "hono/html";
import { cartCents, maxQuantity } from "../cart.ts";
import { findProduct, priceText } from "../catalogue.ts";
import { layout, type Html } from "../layout.ts";
import { productPicture } from "../pictures/product-picture.ts";
import type { Visit } from "../visit.ts";

export const cartPage = (visit: Visit): Html =>
  layout(visit, {
    title: "Cart",
    body: html`<div class="wide section narrow">
      <h1>Your cart</h1>
      ${visit.cart.length === 0 ? empty() : filled(visit)}
    </div>`,
  });

const empty = (): Html =>
  html`<p class="lead">Nothing in it yet. The wind is good for <a href="/product/storm-kite">a kite</a>.</p>`;

const filled = (visit: Visit): Html =>
  html`<ul class="lines">
      ${visit.cart.map(
        (line) =>
          html`<li>
            <span class="thumb">${productPicture(findProduct(line.item) ? line.item : "dike-red-tulips")}</span>
            <a class="line-name" href="${line.path}">${line.name}</a>
            <form method="post" action="/cart/quantity" class="line-form">
              <input type="hidden" name="item" value="${line.item}" />
              <label class="unseen" for="quantity-${line.item}">How many of ${line.name}</label>
              <input
                id="quantity-${line.item}"
                name="quantity"
                type="number"
                inputmode="numeric"
                min="0"
                max="${maxQuantity}"
                value="${line.quantity}"
                required
              />
              <button type="submit" class="quiet">Change<span class="unseen"> the number of ${line.name}</span></button>
              <button type="submit" class="quiet" name="remove" value="yes">
                Remove<span class="unseen"> ${line.name}</span>
              </button>
            </form>
            <span class="line-price">${priceText(line.cents * line.quantity)}</span>
          </li>`,
      )}
    </ul>
    <p class="total"><span>Together, delivery included</span> <strong>${priceText(cartCents(visit.cart))}</strong></p>
    <p class="row-end"><a class="button" href="/checkout">To the checkout</a></p>`;
