import { allCaptures, createPolder } from "@polder/browser";

type Plan = {
  "Product Added": { product_id: string; price: number; currency: string };
};

// In a module of its own, so that it is made once, whatever renders how often.
export const polder = createPolder<Plan>({
  site: import.meta.env.VITE_POLDER_KEY,
  host: import.meta.env.VITE_POLDER_HOST,
  capture: allCaptures,
});
