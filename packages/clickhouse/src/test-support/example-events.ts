import type { LoadedEventRow } from "@polder/core/contracts";

type Row = Partial<LoadedEventRow>;

/**
 * The events of `docs/sql/example-events.jsonl`: seven weeks of a small shop, told visitor by visitor, so that every answer in the docs can be checked by
 * hand. Columns that nobody asks about are left out; `buildEventRow` fills them in.
 */
export function exampleEvents(): Row[] {
  return stories()
    .toSorted((a, b) => (a.time! < b.time! ? -1 : a.time! > b.time! ? 1 : 0))
    .map((row, offset) => ({ _offset: offset, message_id: `m${String(offset).padStart(3, "0")}`, ...row }));
}

/** Who an event comes from: an identity (atom) on a device. */
const device = (atom: number, anonymous_id: string, kind: string, country = "NL"): Row => ({
  atom,
  anonymous_id,
  device: kind,
  country,
});

// Where a visit comes from.
const direct: Row = { channel: "direct" };
const search: Row = { channel: "search", referrer_host: "google.com" };
const blog: Row = { channel: "referral", referrer_host: "example.org" };
const campaign = (channel: string, utm_source: string, utm_medium: string, utm_campaign: string): Row => ({
  channel,
  utm_source,
  utm_medium,
  utm_campaign,
});
const autumn = campaign("mail", "newsletter", "email", "autumn");
const winter = campaign("mail", "newsletter", "email", "winter");
const brand = campaign("paid", "google", "cpc", "brand");
const reels = campaign("social", "mastodon", "post", "reels");

// What is done in a visit, a minute each.
const track = (name: string, properties: object = {}): Row => ({
  type: "track",
  name,
  properties: properties as Record<string, never>,
});
const page = (url_path: string): Row => ({
  type: "page",
  name: "page",
  url_path,
  page_group: `/${url_path.split("/")[1]}`,
});
const view = (product: string): Row[] => [
  page(`/product/${product}`),
  track("Product Viewed", { product_id: product, price: prices[product] }),
];
const add = (product: string): Row => track("Product Added", { product_id: product, price: prices[product] });
const checkout: Row[] = [page("/checkout"), track("Checkout Started")];
const searched = (query: string, results: number): Row => track("Products Searched", { query, results });
const read = (active_seconds: number, scroll_depth: number): Row =>
  track("Page Engagement", { visible_seconds: active_seconds + 5, active_seconds, scroll_depth });
const submitted = (form: string, fields: string[]): Row => track("Form Submitted", { form, fields });
const abandoned = (form: string, fields: string[]): Row =>
  track("Form Abandoned", { form, fields, last_field: fields.at(-1) });
const address = ["name", "street", "postcode", "phone"];

const prices: { [product: string]: number } = { runner: 59.95, trail: 89, sock: 10, insole: 15.5, lace: 4.5 };

const order = (order_id: string, basket: { [product: string]: number }, currency = "EUR"): Row => {
  const products = Object.entries(basket).map(([product_id, quantity]) => ({
    product_id,
    price: prices[product_id] ?? 0,
    quantity,
  }));
  const total = products.reduce((sum, { price, quantity }) => sum + price * quantity, 0);
  return { ...track("Order Completed", { products }), order_id, amount: total.toFixed(2), currency };
};
const buy = (order_id: string, basket: { [product: string]: number }, currency?: string): Row[] => [
  submitted("checkout", address),
  page("/thanks"),
  order(order_id, basket, currency),
];
/** From here on the visit is of another identity: the same device, and who logged in. */
const logIn = (atom: number, user_id: string): Row[] => [
  page("/login"),
  {
    atom,
    user_id,
    type: "identify",
    name: "identify",
    "traits.name": ["email"],
    "traits.value": [`${user_id}@example.com`],
    "traits.class": ["identity"],
    "traits.purpose": ["profile"],
    "traits.personal": [1],
  },
];

const purposes = ["measurement", "profile", "ads"];
const choose = (variant: string, ...granted: string[]): Row => ({
  type: "consent",
  name: "consent",
  "choice.purpose": purposes,
  "choice.state": purposes.map((purpose) => (granted.includes(purpose) ? "granted" : "denied")),
  notice: JSON.stringify({ version: "3", language: "nl", variant }),
});
const everything = (variant: string): Row => choose(variant, ...purposes);
const withoutAds = (variant: string): Row => choose(variant, "measurement", "profile");

/** What stays as it is until another step says otherwise. */
const lasting = ["atom", "user_id", "url_path", "page_group"] as const;

function visit(who: Row, start: string, from: Row, ...steps: (Row | Row[])[]): Row[] {
  const first = Date.parse(`${start}Z`);
  const visitor: Row = {
    ...who,
    session_id: `${who.anonymous_id}-${start.slice(5, 10)}`,
    session_start: text(first),
    consent_id: `choice-of-${who.anonymous_id}`,
  };
  let here: Row = {};
  return steps.flat().map((step, seq) => {
    here = { ...here, ...Object.fromEntries(lasting.filter((name) => name in step).map((name) => [name, step[name]])) };
    const origin = seq === 0 ? from : { channel: "internal" };
    return { ...at(first + seq * 60_000), ...visitor, session_seq: seq, ...origin, ...step, ...here };
  });
}

/** Seen without a number to know the visitor by again: counted, and nobody. */
const nobody = (start: string, ...steps: Row[]): Row[] =>
  visit({ atom: 0, anonymous_id: "", device: "desktop", country: "NL" }, start, direct, ...steps).map((row) => ({
    ...row,
    session_id: "",
    session_seq: 0,
    consent_mask: 2,
    consent_id: row.type === "consent" ? `choice-at-${start}` : "",
  }));

const text = (ms: number): string => new Date(ms).toISOString().replace("T", " ").slice(0, 23);
const dayInAmsterdam = new Intl.DateTimeFormat("sv-SE", { timeZone: "Europe/Amsterdam" });
const at = (ms: number): Row => ({ day: dayInAmsterdam.format(ms), time: text(ms), received_at: text(ms + 1000) });

/** A phone without a connection sends what it has two days later. */
const late = (rows: Row[]): Row[] =>
  rows.map((row) => ({ ...row, received_at: text(Date.parse(`${row.time!.replace(" ", "T")}Z`) + 2 * 86_400_000) }));

const byServer = (who: Row, start: string, row: Row): Row => ({
  ...at(Date.parse(`${start}Z`)),
  device: "server",
  session_id: "",
  anonymous_id: "",
  consent_id: "",
  basis: "contract",
  channel: "",
  url_path: "",
  page_group: "",
  ...row,
  ...who,
});

function stories(): Row[] {
  const adaPhone = device(64, "ada-phone", "mobile");
  const adaLaptop = device(128, "ada-laptop", "desktop");
  const adaKnown = { ...device(192, "ada-laptop", "desktop"), user_id: "ada" };
  const bob = device(256, "bob", "desktop", "BE");
  const cas = device(320, "cas", "mobile");
  const dee = device(384, "dee", "desktop", "DE");
  const eve = device(448, "eve", "desktop");
  const finn = device(512, "finn", "tablet");
  const giaPhone = device(576, "gia-phone", "mobile", "BE");
  const giaLaptop = device(640, "gia-laptop", "desktop", "BE");
  const hal = device(768, "hal", "desktop", "US");
  const ida = device(832, "ida", "desktop", "BE");
  const jon = device(896, "jon", "mobile");
  const kim = device(960, "kim", "desktop", "DE");
  const lou = device(1024, "lou", "mobile", "BE");
  const max = device(1088, "max", "desktop");
  const robot = { ...device(1152, "robot", "bot", "US"), bot: "Googlebot", bot_score: 100 };
  const reader = { ...device(1280, "reader", "desktop"), site: "blog", url_host: "blog.example" };

  return [
    // Ada looks on her phone, buys on her laptop, logs in there, sends something back, buys again. Then she logs in on her phone, too: the first visit was hers.
    ...visit(adaPhone, "2026-10-13 10:00", search, page("/"), everything("bar"), page("/shoes"), view("runner")),
    ...visit(
      adaLaptop,
      "2026-10-21 20:00",
      autumn,
      page("/shoes"),
      everything("dialog"),
      view("runner"),
      add("runner"),
      checkout,
      logIn(192, "ada"),
      page("/checkout"),
      buy("A-1", { runner: 1 }),
    ),
    byServer({ atom: 1216, user_id: "ada", country: "" }, "2026-10-23 09:00", {
      ...track("Order Refunded"),
      order_id: "A-1",
      amount: "-10.00",
      currency: "EUR",
    }),
    ...visit(
      adaKnown,
      "2026-11-04 19:00",
      direct,
      page("/"),
      view("sock"),
      add("sock"),
      checkout,
      buy("A-2", { sock: 2, insole: 1 }),
    ),
    ...visit(adaPhone, "2026-11-25 08:00", winter, page("/"), read(20, 60), logIn(1344, "ada")),

    // Bob gets as far as the costs of shipping.
    ...visit(bob, "2026-10-13 12:00", brand, page("/"), withoutAds("bar"), view("runner"), add("runner")),
    ...visit(
      bob,
      "2026-10-15 18:00",
      direct,
      page("/cart"),
      checkout,
      page("/shipping-costs"),
      abandoned("checkout", ["name", "street", "postcode"]),
    ),
    ...visit(bob, "2026-10-28 07:00", autumn, page("/"), page("/shoes"), read(14, 50)),

    // Cas comes back again and again. His first order was sent twice; his last visit goes over midnight in Amsterdam.
    ...visit(
      cas,
      "2026-10-14 09:00",
      direct,
      page("/"),
      everything("dialog"),
      view("sock"),
      add("sock"),
      checkout,
      buy("C-1", { sock: 2 }),
      order("C-1", { sock: 2 }),
    ),
    ...visit(cas, "2026-11-02 19:00", reels, page("/"), add("sock"), checkout, buy("C-2", { sock: 2, insole: 1 })),
    ...late(
      visit(
        cas,
        "2026-11-24 22:57",
        direct,
        page("/laces"),
        view("lace"),
        add("lace"),
        checkout,
        buy("C-3", { lace: 2 }),
      ),
    ),

    // Dee reads.
    ...visit(
      dee,
      "2026-10-20 08:00",
      blog,
      page("/blog/first-run"),
      everything("bar"),
      read(95, 100),
      page("/blog/rain"),
      read(70, 90),
    ),
    ...visit(
      dee,
      "2026-11-03 08:00",
      blog,
      page("/blog/laces"),
      read(60, 100),
      page("/newsletter"),
      submitted("newsletter", ["email"]),
    ),
    ...visit(dee, "2026-11-18 08:00", winter, page("/blog/winter"), read(120, 100)),

    ...visit(
      eve,
      "2026-10-21 11:00",
      brand,
      page("/"),
      everything("bar"),
      searched("trail shoes", 3),
      view("trail"),
      read(40, 80),
    ),
    ...visit(
      eve,
      "2026-10-26 21:00",
      search,
      view("trail"),
      add("trail"),
      add("sock"),
      checkout,
      buy("E-1", { trail: 1, sock: 1 }),
    ),

    // Finn and Ida look for what is not sold here.
    ...visit(
      finn,
      "2026-10-22 16:00",
      reels,
      page("/"),
      withoutAds("bar"),
      view("runner"),
      read(12, 40),
      searched("rain jacket", 0),
    ),
    ...visit(
      ida,
      "2026-11-04 13:00",
      search,
      page("/"),
      withoutAds("dialog"),
      searched("rain jacket", 0),
      read(10, 20),
    ),
    ...visit(
      ida,
      "2026-11-12 13:00",
      brand,
      page("/"),
      searched("trail shoes", 3),
      view("trail"),
      add("trail"),
      checkout,
      page("/shipping-costs"),
      abandoned("checkout", address),
    ),

    // Gia looks on her phone and orders on her laptop. Two weeks later she orders on the phone.
    ...visit(giaPhone, "2026-10-27 08:30", reels, page("/"), everything("dialog"), view("runner")),
    ...visit(
      giaLaptop,
      "2026-11-05 20:30",
      search,
      page("/shoes"),
      withoutAds("dialog"),
      searched("running socks", 5),
      view("sock"),
      add("sock"),
      view("runner"),
      add("runner"),
      checkout,
      logIn(704, "gia"),
      page("/checkout"),
      buy("G-1", { runner: 1, sock: 1 }),
    ),
    ...visit(
      giaPhone,
      "2026-11-19 20:00",
      winter,
      page("/"),
      logIn(1408, "gia"),
      view("insole"),
      add("insole"),
      checkout,
      buy("G-2", { insole: 1, lace: 1 }),
    ),

    // Hal pays in dollars.
    ...visit(
      hal,
      "2026-11-03 17:00",
      direct,
      page("/"),
      view("trail"),
      add("trail"),
      checkout,
      buy("H-1", { trail: 1 }, "USD"),
    ),

    ...visit(
      jon,
      "2026-11-10 12:00",
      blog,
      page("/blog/laces"),
      everything("bar"),
      read(45, 100),
      view("sock"),
      add("sock"),
      checkout,
      buy("J-1", { sock: 1, lace: 1 }),
    ),
    ...visit(jon, "2026-11-23 12:00", direct, page("/"), page("/shoes"), read(22, 90)),
    ...visit(
      kim,
      "2026-11-18 18:00",
      winter,
      page("/"),
      everything("dialog"),
      searched("Running socks ", 5),
      view("runner"),
      read(35, 90),
      add("runner"),
      checkout,
      buy("K-1", { runner: 1, insole: 1, sock: 1 }),
    ),
    ...visit(lou, "2026-11-17 22:00", reels, page("/"), everything("dialog"), read(3, 10)),
    ...visit(
      max,
      "2026-11-23 19:00",
      search,
      page("/"),
      everything("bar"),
      searched("laces", 2),
      view("lace"),
      add("lace"),
      page("/newsletter"),
      abandoned("newsletter", ["email"]),
    ),

    // Two who let themselves be counted and no more, one of them after a look at the texts. The rest of their visit has no name either.
    ...nobody("2026-10-22 15:00", page("/"), choose("bar", "measurement"), page("/shoes")),
    ...nobody("2026-11-11 15:00", page("/"), choose("dialog", "measurement")),
    ...nobody("2026-11-20 15:00", page("/shoes"), choose("bar", "measurement")),
    // Eve changes her mind about advertisements.
    ...visit(eve, "2026-11-01 10:00", direct, page("/privacy"), withoutAds("bar")),

    ...visit(robot, "2026-10-22 03:00", direct, page("/"), view("runner")),
    ...visit(robot, "2026-11-17 03:00", direct, page("/"), page("/shoes")),
    // Another site of the same owner.
    ...visit(reader, "2026-11-10 09:00", search, page("/"), read(30, 70), page("/about")),
  ];
}
