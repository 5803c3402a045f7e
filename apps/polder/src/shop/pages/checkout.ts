import { html } from "hono/html";
import { cartCents, type Cart } from "../cart.ts";
import { euros, priceText } from "../catalogue.ts";
import { layout, type Html } from "../layout.ts";
import type { Visit } from "../visit.ts";

/** As e-commerce events list what was bought. */
export const productsOfCart = (cart: Cart): { [name: string]: string | number }[] =>
  cart.map(({ sku, name, category, cents, quantity }) => ({
    product_id: sku,
    name,
    category,
    price: euros(cents),
    quantity,
  }));

export const checkoutPage = (visit: Visit): Html =>
  layout(visit, {
    title: "Checkout",
    events: [
      {
        name: "Checkout Started",
        properties: { value: euros(cartCents(visit.cart)), currency: "EUR", products: productsOfCart(visit.cart) },
      },
    ],
    body: html`<div class="wide section narrow">
      <h1>Checkout</h1>
      <p class="lead">
        ${visit.cart.length} ${visit.cart.length === 1 ? "line" : "lines"}, ${priceText(cartCents(visit.cart))}. You pay
        at the door, to the person with the wet coat.
      </p>
      <form class="stack" method="post" action="/checkout" data-polder-identify>
        <div class="field">
          <label for="name">Name</label>
          <input id="name" name="name" autocomplete="name" required data-polder-trait="name" />
        </div>
        <div class="field">
          <label for="email">E-mail address</label>
          <input
            id="email"
            name="email"
            type="email"
            autocomplete="email"
            required
            data-polder-trait="email"
            value="${visit.customer?.includes("@") ? visit.customer : ""}"
          />
        </div>
        <div class="field" data-polder-private>
          <label for="street">Street and number</label>
          <input id="street" name="street" autocomplete="street-address" required />
        </div>
        <div class="field">
          <label for="city">Town</label>
          <input id="city" name="city" autocomplete="address-level2" required data-polder-trait="city" />
        </div>
        <p class="row-end"><button type="submit">Order and pay at the door</button></p>
      </form>
    </div>`,
  });
