import { allCaptures, createPolder, type Polder } from "@polder/browser";

type Plan = {
  "Product Added": { product_id: string; price: number; currency: string };
};

let made: Polder<Plan> | undefined;

/**
 * The one Polder of the page. A function, because client components are rendered on the server too, where there is no page:
 * call it in effects and handlers, never while rendering.
 */
export const polder = (): Polder<Plan> =>
  (made ??= createPolder<Plan>({
    site: process.env.NEXT_PUBLIC_POLDER_KEY!,
    host: process.env.NEXT_PUBLIC_POLDER_HOST!,
    capture: allCaptures,
  }));
