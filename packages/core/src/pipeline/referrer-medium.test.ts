import { expect, it } from "vitest";
import { referrerMedium } from "./referrer-medium.ts";

it.each([
  ["www.google.com", "/search", "search"],
  ["www.google.nl", "/", "search"],
  ["duckduckgo.com", "/", "search"],
  ["com.google.android.googlequicksearchbox", "/", "search"],
  ["www.facebook.com", "/", "social"],
  ["lm.facebook.com", "/l.php", "social"],
  ["web.facebook.com", "/", "social"],
  ["t.co", "/abc", "social"],
  ["mail.google.com", "/mail", "mail"],
  ["docs.google.com", "/document/1", "referral"],
  ["googleads.g.doubleclick.net", "/", "paid"],
])("%s%s is %s", (host, path, medium) => {
  expect(referrerMedium(host, path)).toBe(medium);
});

it.each(["t.community.example", "google.com.evil.example", "notgoogle.com", "shop.example", ""])(
  "does not know %s",
  (host) => {
    expect(referrerMedium(host, "/")).toBeUndefined();
  },
);
