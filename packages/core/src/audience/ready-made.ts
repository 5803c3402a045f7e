import type { AudienceDefinition } from "./audience-definition.ts";

export interface ReadyMadeAudience {
  id: string;
  name: string;
  definition: AudienceDefinition & { description: string };
}

const order = "Order Completed";

/** Twelve audiences that most shops ask for first, made of the standard e-commerce events. */
export const readyMadeAudiences: readonly ReadyMadeAudience[] = [
  {
    id: "new-visitors",
    name: "New visitors",
    definition: {
      description: "Seen for the first time in the last seven days.",
      people: { firstSeen: { within: { days: 7 } } },
    },
  },
  {
    id: "returning",
    name: "Returning",
    definition: {
      description: "Seen in the last seven days, and for the first time before that.",
      people: { all: [{ seen: { within: { days: 7 } } }, { not: { firstSeen: { within: { days: 7 } } } }] },
    },
  },
  {
    id: "cart-abandoners",
    name: "Cart abandoners",
    definition: {
      description:
        "Put something into the cart an hour to three days ago, and neither ordered nor added anything since.",
      people: {
        all: [
          {
            event: ["Product Added", order],
            last: { within: { days: 3 }, where: [{ column: "name", is: "Product Added" }] },
          },
          { not: { event: "Product Added", within: { hours: 1 } } },
        ],
      },
    },
  },
  {
    id: "recent-buyers",
    name: "Recent buyers",
    definition: {
      description: "Ordered in the last 30 days.",
      people: { event: order, within: { days: 30 } },
    },
  },
  {
    id: "lapsing-customers",
    name: "Lapsing customers",
    definition: {
      description: "Ordered 60 to 180 days ago, and not since.",
      people: { all: [{ event: order, within: { days: 180 } }, { not: { event: order, within: { days: 60 } } }] },
    },
  },
  {
    id: "high-value",
    name: "High value",
    definition: {
      description: "Orders of 250 euros or more in a year, less what was refunded.",
      people: {
        event: [order, "Order Refunded"],
        within: { days: 365 },
        sum: { of: "amount", currency: "EUR", atLeast: 250 },
      },
    },
  },
  {
    id: "newsletter-without-order",
    name: "Newsletter without order",
    definition: {
      description: "Asked for the newsletter and never ordered.",
      people: {
        all: [
          {
            any: [
              { trait: "newsletter", is: true },
              { event: "page", where: [{ column: "url_path", is: "/newsletter" }] },
            ],
          },
          { not: { event: order } },
        ],
      },
    },
  },
  {
    id: "support-trouble",
    name: "Support trouble",
    definition: {
      description: "Two tickets or more in 90 days, or one within 14 days after an order in the last 60 days.",
      people: {
        any: [
          { event: "Ticket Opened", count: { atLeast: 2 }, within: { days: 90 } },
          {
            sequence: [{ event: order }, { event: "Ticket Opened" }],
            within: { days: 14 },
            during: { days: 60 },
          },
        ],
      },
    },
  },
  {
    id: "campaign-responders",
    name: "Campaign responders",
    definition: {
      description: "Came through a campaign in the last 30 days.",
      people: { touch: "any", campaign: { exists: true }, within: { days: 30 } },
    },
  },
  {
    id: "engaged-readers",
    name: "Engaged readers",
    definition: {
      description: "Active on pages for five minutes or more in the last 30 days.",
      people: {
        event: "Page Engagement",
        within: { days: 30 },
        sum: { of: { property: "active_seconds" }, atLeast: 300 },
      },
    },
  },
  {
    id: "one-time-buyers",
    name: "One-time buyers",
    definition: {
      description: "Ordered exactly once.",
      people: { event: order, count: { is: 1 } },
    },
  },
  {
    id: "win-back",
    name: "Win-back",
    definition: {
      description: "Ordered once upon a time, but not in the last 180 days, and was here again in the last 30.",
      people: {
        all: [{ event: order }, { not: { event: order, within: { days: 180 } } }, { seen: { within: { days: 30 } } }],
      },
    },
  },
];
