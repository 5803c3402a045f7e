import { polder } from "./polder.ts";

// Next runs this file once, in the browser alone, before it hydrates: nobody clicks earlier.
polder();
