import { html } from "hono/html";
import { cartCents } from "../cart.ts";
import { euros, priceText } from "../catalogue.ts";
import { layout, type Html } from "../layout.ts";
import type { Order } from "../orders.ts";
import type { Visit } from "../visit.ts";
import { productsOfCart } from "./checkout.ts";

/** `isFirstLook`: a reload of this page must not count the order again. */
export function thanksPage(visit: Visit, order: Order, isFirstLook: boolean): Html {
  const completed = {
    name: "Order Completed",
    properties: {
      order_id: order.id,
      total: euros(cartCents(order.cart)),
      currency: "EUR",
      products: productsOfCart(order.cart),
    },
  };
  return layout(visit, {
    title: "Thank you",
    events: isFirstLook ? [completed] : [],
    body: html`<div class="wide section narrow">
      <h1>It is on its way</h1>
      <p class="lead">
        Order <strong>${order.id}</strong>, ${priceText(cartCents(order.cart))}. We row it over as soon as the bridge is
        down again.
      </p>
      <ul class="lines">
        ${order.cart.map(
          ({ name, quantity, cents }) =>
            html`<li>
              <span class="line-name">${quantity} × ${name}</span>
              <span class="line-price">${priceText(cents * quantity)}</span>
            </li>`,
        )}
      </ul>
      <p>
        <a href="${visit.liveUrl}">See the order arrive on the live page</a>, or <a href="/">look around some more</a>.
      </p>
    </div>`,
  });
}
