/** What the shop sells. Prices in euro cents. */
export interface Product {
  slug: string;
  sku: string;
  name: string;
  category: CategorySlug;
  cents: number;
  /** One line for lists. */
  line: string;
  story: string;
  facts: readonly (readonly [label: string, value: string])[];
}

export type CategorySlug = "bulbs" | "table" | "weather";

export interface Category {
  slug: CategorySlug;
  name: string;
  line: string;
}

export const categories: readonly Category[] = [
  { slug: "bulbs", name: "Bulbs", line: "Lifted in July, dried on the attic floor, in your garden by October." },
  { slug: "table", name: "Table", line: "For bread, cheese and everything that goes cold while people talk." },
  { slug: "weather", name: "Weather", line: "We have a lot of it. Made to be used in the worst of it." },
];

export const products: readonly Product[] = [
  {
    slug: "dike-red-tulips",
    sku: "SK-101",
    name: "Dike Red tulips",
    category: "bulbs",
    cents: 1450,
    line: "Twenty-five bulbs of the loudest red we grow.",
    story:
      "Planted along the ring dike since 1953, so that a boat coming home in fog would have something to steer by. They come back every year and ask for nothing.",
    facts: [
      ["Bulbs", "25, size 12/+"],
      ["Plant", "October to December, 12 cm deep"],
      ["Flowers", "late April, 55 cm"],
    ],
  },
  {
    slug: "morning-mist-narcissus",
    sku: "SK-102",
    name: "Morning Mist narcissus",
    category: "bulbs",
    cents: 1275,
    line: "Thirty bulbs, cream with a butter-yellow cup.",
    story:
      "The first thing to flower on the east bank, usually through the last frost. Mice leave narcissus alone, which is more than we can say of anything else here.",
    facts: [
      ["Bulbs", "30, size 14/16"],
      ["Plant", "September to November, 15 cm deep"],
      ["Flowers", "March, 40 cm"],
    ],
  },
  {
    slug: "ditch-blue-hyacinths",
    sku: "SK-103",
    name: "Ditch Blue grape hyacinths",
    category: "bulbs",
    cents: 895,
    line: "Fifty small bulbs that turn into a river.",
    story: "Plant them in a winding line and in three years you have running water. Bees find them before you do.",
    facts: [
      ["Bulbs", "50, size 8/9"],
      ["Plant", "September to November, 8 cm deep"],
      ["Flowers", "April, 18 cm"],
    ],
  },
  {
    slug: "night-barge-tulips",
    sku: "SK-104",
    name: "Night Barge tulips",
    category: "bulbs",
    cents: 1650,
    line: "Twenty bulbs, plum going on black.",
    story:
      "A late tulip with a silk finish. By day it looks purple; at dusk, when the barges pass, it is the last thing you can still make out.",
    facts: [
      ["Bulbs", "20, size 12/+"],
      ["Plant", "October to December, 12 cm deep"],
      ["Flowers", "mid May, 60 cm"],
    ],
  },
  {
    slug: "sluice-cheese-board",
    sku: "SK-201",
    name: "Sluice cheese board",
    category: "table",
    cents: 4900,
    line: "Oak from a lock gate, retired after sixty years under water.",
    story:
      "Lock gates are replaced before they fail, and the oak inside is as sound as the day it went down. We plane it, oil it and drill one hole, for the nail in your kitchen.",
    facts: [
      ["Wood", "reclaimed oak, 42 × 24 cm"],
      ["Finish", "linseed oil"],
      ["Care", "wipe, dry, oil once a year"],
    ],
  },
  {
    slug: "farmhouse-cheese",
    sku: "SK-202",
    name: "Farmhouse cheese, young-ripe",
    category: "table",
    cents: 3250,
    line: "A two-kilo wheel from forty cows and one dairy.",
    story:
      "Raw milk, eight weeks on pine shelves, turned by hand. The cows stand on peat, which is why it tastes faintly of hay and faintly of rain.",
    facts: [
      ["Weight", "about 2 kg"],
      ["Age", "8 weeks"],
      ["Milk", "raw, cow, 48+"],
    ],
  },
  {
    slug: "mill-mug",
    sku: "SK-203",
    name: "Mill mug",
    category: "table",
    cents: 1850,
    line: "Stoneware, one cobalt mill, four sails at rest.",
    story:
      "Sails standing as a plus mean the miller is resting; as a cross, that he is away for longer. This one is a plus. Drink your coffee.",
    facts: [
      ["Holds", "330 ml"],
      ["Made of", "stoneware, hand-painted"],
      ["Dishwasher", "yes"],
    ],
  },
  {
    slug: "syrup-waffle-tin",
    sku: "SK-204",
    name: "Tin of syrup waffles",
    category: "table",
    cents: 1195,
    line: "Ten waffles, exactly as wide as the mug. Not by chance.",
    story:
      "Put one on a hot mug for two minutes. The syrup gives in before you do. The tin keeps screws and buttons for about forty years.",
    facts: [
      ["Waffles", "10"],
      ["Contains", "wheat, milk, egg, soya"],
      ["Keeps", "three months, in theory"],
    ],
  },
  {
    slug: "wooden-shoes",
    sku: "SK-301",
    name: "Wooden shoes, yellow",
    category: "weather",
    cents: 5400,
    line: "Poplar, carved wet, dried for six weeks.",
    story: "Warm in winter, cool in summer, and the only shoe that a cow respects. Size one up and wear a thick sock.",
    facts: [
      ["Wood", "poplar"],
      ["Sizes", "36 to 46"],
      ["Approved", "as safety footwear"],
    ],
  },
  {
    slug: "storm-kite",
    sku: "SK-302",
    name: "Storm kite",
    category: "weather",
    cents: 3900,
    line: "Flies from wind force 3 and still flies at 7. Then come inside.",
    story:
      "Sewn in the old sail loft from spinnaker cloth, with ash spars. The tail has seven bows, one for each lock between here and the sea.",
    facts: [
      ["Span", "96 cm"],
      ["Line", "50 m on a wooden reel"],
      ["Wind", "force 3 to 7"],
    ],
  },
  {
    slug: "rain-cape",
    sku: "SK-303",
    name: "Cycling cape",
    category: "weather",
    cents: 8900,
    line: "Covers you, the handlebar and the shopping.",
    story:
      "Waxed cotton with thumb loops, so it stays over the handlebar against a headwind. There is always a headwind.",
    facts: [
      ["Cloth", "waxed cotton, 240 g"],
      ["Sizes", "one"],
      ["Packs into", "its own pocket"],
    ],
  },
  {
    slug: "friesland-skates",
    sku: "SK-304",
    name: "Wooden skates",
    category: "weather",
    cents: 7600,
    line: "Strap them under your boots and wait for the ice.",
    story:
      "Beech on a carbon-steel runner with the curl at the front, the way they were made when the canals still froze every winter. Some years you only hang them on the wall. Some years you do not.",
    facts: [
      ["Wood", "beech"],
      ["Runner", "carbon steel, hollow ground"],
      ["Sizes", "37 to 45"],
    ],
  },
];

export const findProduct = (slug: string): Product | undefined => products.find((product) => product.slug === slug);
export const findCategory = (slug: string): Category | undefined =>
  categories.find((category) => category.slug === slug);
export const productsOf = (category: CategorySlug): readonly Product[] =>
  products.filter((product) => product.category === category);

const euro = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });
export const priceText = (cents: number): string => euro.format(cents / 100);
/** As the wire wants money: a number of euros. */
export const euros = (cents: number): number => cents / 100;
