import { attempt } from "../device-storage.ts";

const bitsOf = (segment: string): string => {
  const bytes = attempt(() => atob(segment.replace(/-/g, "+").replace(/_/g, "/"))) ?? "";
  return Array.from(bytes, (char) => char.charCodeAt(0).toString(2).padStart(8, "0")).join("");
};

/** Whether the visitor was told of the vendor: the segment of type 1, a bit a vendor or ranges. Not there, as before TCF 2.3: no. */
export const isDisclosed = (tcString: string, vendor: number): boolean =>
  tcString
    .split(".")
    .slice(1)
    .some((segment) => {
      const bits = bitsOf(segment);
      const number = (from: number, length = 16): number => parseInt(bits.slice(from, from + length), 2);
      if (number(0, 3) !== 1) return false;
      if (!number(19, 1)) return vendor <= number(3) && !!number(19 + vendor, 1);
      let at = 32;
      for (let left = number(20, 12); left; left--) {
        const isRange = number(at, 1);
        if (vendor >= number(at + 1) && vendor <= number(at + 1 + isRange * 16)) return true;
        at += 17 + isRange * 16;
      }
      return false;
    });
