"use client";

import { polder } from "../../polder.ts";

export const AddButton = () => (
  <button
    type="button"
    onClick={() => polder().track("Product Added", { product_id: "tulip-25", price: 12.5, currency: "EUR" })}
  >
    Add 25 tulips
  </button>
);
