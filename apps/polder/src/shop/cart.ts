import { bouquetOf } from "./bouquet.ts";
import { findProduct } from "./catalogue.ts";

export interface CartLine {
  /** Slug of a product, or the recipe of a bouquet. */
  item: string;
  sku: string;
  name: string;
  category: string;
  cents: number;
  quantity: number;
  /** Page of the line. */
  path: string;
}

export type Cart = readonly CartLine[];

export const maxQuantity = 20;
const maxLines = 30;

/** The cart lives in the visitor's own cookie as `item*quantity,…`; whatever in it is not ours is left out. */
export function parseCart(text: string): Cart {
  const lines: CartLine[] = [];
  for (const part of text.split(",").slice(0, maxLines)) {
    const [item = "", count = ""] = part.split("*");
    const quantity = Number(count);
    if (!Number.isInteger(quantity) || quantity < 1 || quantity > maxQuantity) continue;
    const line = describe(item);
    if (line) lines.push({ ...line, quantity });
  }
  return lines;
}

export const cartText = (cart: Cart): string => cart.map((line) => `${line.item}*${line.quantity}`).join(",");

/** Adds to the line of this item, or makes one. Unknown items change nothing. */
export function addToCart(cart: Cart, item: string, quantity: number): Cart {
  const known = cart.find((line) => line.item === item);
  return setQuantity(cart, item, Math.min((known?.quantity ?? 0) + quantity, maxQuantity));
}

/** Zero takes the line out. */
export function setQuantity(cart: Cart, item: string, quantity: number): Cart {
  if (quantity <= 0) return cart.filter((line) => line.item !== item);
  if (cart.some((line) => line.item === item)) {
    return cart.map((line) => (line.item === item ? { ...line, quantity } : line));
  }
  const line = describe(item);
  return line && cart.length < maxLines ? [...cart, { ...line, quantity }] : cart;
}

export const cartCount = (cart: Cart): number => cart.reduce((sum, line) => sum + line.quantity, 0);
export const cartCents = (cart: Cart): number => cart.reduce((sum, line) => sum + line.quantity * line.cents, 0);

function describe(item: string): Omit<CartLine, "quantity"> | undefined {
  const product = findProduct(item);
  if (product) {
    const { sku, name, category, cents } = product;
    return { item, sku, name, category, cents, path: `/product/${item}` };
  }
  const bouquet = bouquetOf(item);
  return (
    bouquet && { item, sku: "SK-900", name: bouquet.name, category: "bouquet", cents: bouquet.cents, path: "/bouquet" }
  );
}
