import { html } from "hono/html";
import { cartCents } from "../cart.ts";
import { priceText } from "../catalogue.ts";
import { layout, type Html } from "../layout.ts";
import type { Order } from "../orders.ts";
import type { Visit } from "../visit.ts";

export const accountPage = (visit: Visit, orders: readonly Order[]): Html =>
  visit.customer === undefined ? loginPage(visit) : customerPage(visit, visit.customer, orders);

const loginPage = (visit: Visit): Html =>
  layout(visit, {
    title: "Log in",
    body: html`<div class="wide section narrow">
      <h1>Log in</h1>
      <p class="lead">
        Use the same name on your phone and you are the same customer there. Any password opens the door of this
        demonstration.
      </p>
      <form class="stack" method="post" action="/account/login" data-polder-identify="login">
        <div class="field">
          <label for="customer">E-mail address or customer number</label>
          <input
            id="customer"
            name="customer"
            autocomplete="username"
            required
            maxlength="100"
            data-polder-trait="userId"
          />
        </div>
        <div class="field">
          <label for="password">Password</label>
          <input
            id="password"
            name="password"
            type="password"
            autocomplete="current-password"
            aria-describedby="password-words"
          />
          <p class="small" id="password-words">Polder never reads this field.</p>
        </div>
        <p class="row-end"><button type="submit">Log in</button></p>
      </form>
    </div>`,
  });

const customerPage = (visit: Visit, customer: string, orders: readonly Order[]): Html =>
  layout(visit, {
    title: "Your account",
    body: html`<div class="wide section narrow">
      <h1>Welcome back</h1>
      <p class="lead">You are logged in as <strong>${customer}</strong>.</p>
      <h2>Your orders</h2>
      ${
        orders.length === 0
          ? html`<p>None since the shop opened this morning.</p>`
          : html`<ul class="lines">
              ${orders.map(
                (order) =>
                  html`<li>
                    <a class="line-name" href="/thanks/${order.id}">Order ${order.id}</a>
                    <span class="line-price">${priceText(cartCents(order.cart))}</span>
                  </li>`,
              )}
            </ul>`
      }
      <form method="post" action="/account/logout" data-logout>
        <button type="submit" class="quiet">Log out</button>
      </form>
    </div>`,
  });
