import type { LoadedEventRow } from "@polder/core/contracts";

type Cell = string | number;

/** What happened to identities besides what the events say. */
export interface Happened {
  /** People who were joined: numbers of identities. */
  merged: readonly (readonly [number, number])[];
  /** Identities of people who were erased. */
  erased: readonly number[];
}

interface Event extends LoadedEventRow {
  person: number;
  /** Milliseconds since 1970. */
  ms: number;
}

interface Order {
  id: string;
  person: number;
  ms: number;
  day: string;
  session: string;
  currency: string;
  cents: number;
  refundedCents: number;
}

interface Visit {
  id: string;
  person: number;
  ms: number;
  channel: string;
  campaign: string;
  paths: string[];
  hasOrder: boolean;
}

const dayMs = 86_400_000;
const nowDay = "2026-11-30";

/** The answers of `docs/sql` by question, worked out from nothing but the events. None of it is written as the queries are. */
export function answersFrom(rows: readonly LoadedEventRow[], happened: Happened): Map<string, Cell[][]> {
  const personOf = peopleOf(rows, happened);
  const all: Event[] = rows
    .filter((row) => row.site === "shop" && (row.atom === 0 || personOf(row.atom) !== 0))
    .map((row) => ({ ...row, person: personOf(row.atom), ms: Date.parse(`${row.time.replace(" ", "T")}Z`) }))
    .toSorted((a, b) => a.ms - b.ms || a._offset - b._offset);
  const humans = all.filter(({ bot }) => bot === "");
  const known = humans.filter(({ person }) => person !== 0);
  const byPerson = group(known, ({ person }) => person);
  const orders = ordersOf(humans);
  const visits = visitsOf(known);
  const euros = orders.filter(({ currency }) => currency === "EUR");
  const buyers = group(
    orders.filter(({ person }) => person !== 0),
    ({ person }) => person,
  );
  const answers = new Map<string, Cell[][]>();

  const ada = byPerson.get(personOf(64)) ?? [];
  answers.set(
    "What did this person do?",
    ada.map(({ time, device, name, url_path, channel }) => [time, device, name, url_path, channel]),
  );

  const levels = [...byPerson.values()].map(funnelLevel);
  const reached = (level: number): number => levels.filter((one) => one >= level).length;
  answers.set("How far do people get towards an order?", [[reached(1), reached(2), reached(3), reached(4)]]);
  answers.set(
    "At which step do they drop off?",
    funnel.map((step, at) => {
      const stopped = at === 3 ? 0 : reached(at + 1) - reached(at + 2);
      return [step, reached(at + 1), stopped, percent(stopped, reached(at + 1))];
    }),
  );

  const leavers = [...byPerson].flatMap(([person, events]) => {
    const checkout = events.findLast(({ name }) => name === "Checkout Started");
    if (checkout === undefined) return [];
    if (events.some(({ name, ms }) => name === "Order Completed" && ms >= checkout.ms)) return [];
    const pages = events.filter(({ type, session_id }) => type === "page" && session_id === checkout.session_id);
    return [[person, checkout.time, pages.at(-1)?.url_path ?? ""]];
  });
  answers.set(
    "Who left before paying, and where?",
    inOrder(leavers, ([person]) => [person]),
  );

  answers.set(
    "What do buyers do that leavers do not?",
    ["buyers", "leavers"].flatMap((who) => {
      const histories = [...byPerson.values()].flatMap((events) => {
        const first = events.find(({ name }) => name === "Order Completed");
        if ((first !== undefined) !== (who === "buyers")) return [];
        const before = events.filter(({ ms }) => first === undefined || ms < first.ms);
        return before.some(({ name }) => name === "Product Added") ? [before] : [];
      });
      if (histories.length === 0) return [];
      const mean = (value: (events: Event[]) => number): number => sum(histories.map(value)) / histories.length;
      const share = (has: (event: Event) => boolean): number =>
        roundTo(100 * mean((events) => (events.some(has) ? 1 : 0)), 0);
      return [
        [
          who,
          histories.length,
          roundTo(
            mean((events) => unique(events.map(({ session_id }) => session_id).filter(Boolean)).length),
            2,
          ),
          roundTo(
            mean((events) => unique(events.filter(({ name }) => name === "Product Viewed").map(productOf)).length),
            2,
          ),
          share(({ name }) => name === "Products Searched"),
          share(({ url_path }) => url_path === "/shipping-costs"),
        ],
      ];
    }),
  );

  const entries = [...group(visits, ({ paths }) => paths[0] ?? "")].map(([path, some]) => [
    path,
    some.length,
    some.filter(({ paths }) => paths.length === 1).length,
    some.filter(({ hasOrder }) => hasOrder).length,
  ]);
  answers.set(
    "Where do visits begin, and how often do they end there?",
    inOrder(entries, ([path, count]) => [down(count), path]).slice(0, 5),
  );

  const pageViews = humans.filter(({ type }) => type === "page");
  const looked = [...group(pageViews, ({ url_path }) => url_path)].map(([path, views]) => [
    path,
    views.length,
    countPeople(views),
  ]);
  answers.set("Which pages are looked at most?", inOrder(looked, ([path, views]) => [down(views), path]).slice(0, 5));

  const engagement = [...group(known, ({ page_group }) => page_group)].flatMap(([pageGroup, events]) => {
    const told = events.filter(({ name }) => name === "Page Engagement");
    const views = events.filter(({ type }) => type === "page");
    const seconds = sum(told.map(({ properties }) => Number(properties["active_seconds"])));
    if (seconds === 0) return [];
    const depths = [...group(told, ({ session_id, url_path, person }) => `${session_id} ${url_path} ${person}`)].map(
      ([, some]) => Math.max(...some.map(({ properties }) => Number(properties["scroll_depth"]))),
    );
    const people = countPeople([...views, ...told]);
    return [
      [pageGroup, views.length, people, roundTo(seconds / views.length, 1), roundTo(sum(depths) / depths.length, 0)],
    ];
  });
  answers.set(
    "How long do people look, by page group?",
    inOrder(engagement, (row) => [down(row[3])]),
  );

  const weeks = [...group(orders, ({ day, currency }) => `${mondayOf(day)} ${currency}`)].map(([key, some]) => {
    const ordered = sum(some.map(({ cents }) => cents));
    const refunds = sum(some.map(({ refundedCents }) => refundedCents));
    return [
      ...key.split(" "),
      some.length,
      countPeople(some),
      money(ordered),
      money(refunds),
      money(ordered + refunds),
    ];
  });
  answers.set(
    "What came in, week by week?",
    inOrder(weeks, ([week, currency]) => [week, currency]),
  );

  const months = new Map<string, Order[][]>();
  for (const [, own] of group(
    euros.filter(({ person }) => person !== 0),
    ({ person }) => person,
  )) {
    const month = `${own.at(0)!.day.slice(0, 7)}-01`;
    months.set(month, [...(months.get(month) ?? []), own]);
  }
  const worth = [...months].map(([month, customers]) => {
    const mean = (pick: (own: Order[]) => Order[]): number =>
      money(Math.round(sum(customers.flatMap(pick).map(netOf)) / customers.length));
    return [
      month,
      customers.length,
      mean((own) => own.slice(0, 1)),
      mean((own) => own.filter(({ ms }) => ms < own.at(0)!.ms + 28 * dayMs)),
      mean((own) => own),
    ];
  });
  answers.set(
    "What is a customer worth, and how soon?",
    inOrder(worth, ([month]) => [month]),
  );

  const dateOf = (order: Order): number => Date.parse(order.day) / dayMs;
  const gaps = [...buyers.values()]
    .filter((own) => own.length > 1)
    .map((own) => dateOf(own.at(1)!) - dateOf(own.at(0)!))
    .toSorted((a, b) => a - b);
  answers.set("How long until the second order?", [
    [buyers.size, gaps.length, percent(gaps.length, buyers.size), gaps[Math.floor(gaps.length / 2)]!, gaps.at(-1)!],
  ]);

  const baskets = [...byPerson.values()]
    .map((events) => unique(events.filter(({ name }) => name === "Order Completed").flatMap(productsOf)))
    .filter((products) => products.length > 0);
  const products = unique(baskets.flat()).toSorted();
  const having = (...wanted: string[]): number =>
    baskets.filter((basket) => wanted.every((product) => basket.includes(product))).length;
  const pairs = products.flatMap((one, at) =>
    products.slice(at + 1).map((other) => {
      const both = having(one, other);
      const lift = (both * baskets.length) / (having(one) * having(other));
      return [one, other, both, percent(both, having(one)), roundTo(lift, 2)];
    }),
  );
  answers.set(
    "What do the same people buy?",
    inOrder(
      pairs.filter(([, , both]) => Number(both) > 1),
      ([one, other, both, , lift]) => [down(both), down(lift), one, other],
    ),
  );

  const doing = (name: string, product: string): number =>
    [...byPerson.values()].filter((events) =>
      events.some((event) => event.name === name && [...productsOf(event), productOf(event)].includes(product)),
    ).length;
  answers.set(
    "Which products are looked at and not bought?",
    inOrder(
      unique(known.flatMap((event) => [...productsOf(event), productOf(event)]))
        .filter(Boolean)
        .map((product) => [
          product,
          ...["Product Viewed", "Product Added", "Order Completed"].map((name) => doing(name, product)),
        ]),
      ([product, viewers]) => [down(viewers), product],
    ),
  );

  const visitOf = new Map(visits.map((visit) => [visit.id, visit]));
  const bringing = [
    ...group(euros, ({ session }) => `${visitOf.get(session)?.channel ?? ""},${visitOf.get(session)?.campaign ?? ""}`),
  ];
  answers.set(
    "Which visits bring orders?",
    inOrder(
      bringing.map(([key, some]) => [...key.split(","), some.length, money(sum(some.map(({ cents }) => cents)))]),
      (row) => [down(row[3])],
    ),
  );

  const firsts = [...byPerson].map(([person, events]) => {
    const touch = events.find(isTouch);
    const own = buyers.get(person) ?? [];
    return {
      channel: touch?.channel ?? "",
      campaign: touch?.utm_campaign ?? "",
      visits: unique(events.map(({ session_id }) => session_id).filter(Boolean)).length,
      orders: own.length,
      cents: sum(own.filter(({ currency }) => currency === "EUR").map(netOf)),
    };
  });
  answers.set(
    "What brought the people who brought the money?",
    inOrder(
      [...group(firsts, ({ channel, campaign }) => `${channel},${campaign}`)].map(([key, some]) => [
        ...key.split(","),
        some.length,
        money(sum(some.map(({ cents }) => cents))),
      ]),
      ([channel, campaign, , revenue]) => [down(revenue), channel, campaign],
    ),
  );
  answers.set(
    "Which channels bring people who come back?",
    inOrder(
      [...group(firsts, ({ channel }) => channel)].map(([channel, some]) => [
        channel,
        some.length,
        some.filter((one) => one.visits > 1).length,
        some.filter((one) => one.orders > 0).length,
        some.filter((one) => one.orders > 1).length,
        roundTo(sum(some.map(({ cents }) => cents)) / 100 / some.length, 2),
      ]),
      ([channel, people]) => [down(people), channel],
    ),
  );

  const touchesOf = (order: Order): Visit[] =>
    visits.filter(
      ({ person, channel, ms }) =>
        person === order.person && !["", "direct"].includes(channel) && ms <= order.ms && ms > order.ms - 30 * dayMs,
    );
  const ways = euros.map((order) => {
    const touches = touchesOf(order);
    return { order, touches, channels: touches.length === 0 ? ["direct"] : touches.map(({ channel }) => channel) };
  });
  const channels = unique(ways.flatMap((way) => way.channels));
  const given = (channel: string, share: (way: (typeof ways)[number]) => number): number =>
    sum(ways.map((way) => (way.channels.includes(channel) ? share(way) * netOf(way.order) : 0)));
  const linear = (channel: string) => (way: (typeof ways)[number]) =>
    way.channels.filter((one) => one === channel).length / way.channels.length;
  const atEnd = (channel: string, end: 0 | -1) => (way: (typeof ways)[number]) =>
    way.channels.at(end) === channel ? 1 : 0;
  for (const [title, end] of [
    ["First touch: what began the way to an order?", 0],
    ["Last touch: what came right before it?", -1],
  ] as const) {
    const table = channels
      .map((channel) => [channel, sum(ways.map(atEnd(channel, end))), money(given(channel, atEnd(channel, end)))])
      .filter(([, count]) => count !== 0);
    answers.set(
      title,
      inOrder(table, ([channel, , revenue]) => [down(revenue), channel]),
    );
  }
  answers.set(
    "Linear: what if all touches share?",
    inOrder(
      channels.map((channel) => [
        channel,
        roundTo(sum(ways.map(linear(channel))), 2),
        roundTo(given(channel, linear(channel)) / 100, 2),
      ]),
      ([channel, , revenue]) => [down(revenue), channel],
    ),
  );
  answers.set(
    "How do the three compare?",
    inOrder(
      channels.map((channel) => [
        channel,
        ways.filter((way) => way.channels.includes(channel)).length,
        money(given(channel, atEnd(channel, 0))),
        money(given(channel, atEnd(channel, -1))),
        roundTo(given(channel, linear(channel)) / 100, 2),
      ]),
      (row) => [down(row[4]), row[0]],
    ),
  );
  const costs = { autumn: 15, winter: 15, brand: 90, reels: 25 };
  answers.set(
    "Which campaigns earn what they cost?",
    inOrder(
      Object.entries(costs).map(([campaign, cost]) => {
        const won = ways.filter(({ touches }) => touches.at(-1)?.campaign === campaign).map(({ order }) => order);
        const revenue = money(sum(won.map(netOf)));
        const people = countPeople(visits.filter((visit) => visit.campaign === campaign));
        return [campaign, cost, people, won.length, revenue, roundTo(revenue / cost, 2)];
      }),
      (row) => [down(row[5]), row[0]],
    ),
  );

  answers.set(
    "How many people were there, by day?",
    inOrder(
      [...group(humans, ({ day }) => day)].map(([day, some]) => [day, some.length, countPeople(some)]),
      ([day]) => [day],
    ),
  );
  const seenIn = new Map(
    [...byPerson].map(([person, events]) => [person, unique(events.map(({ day }) => mondayOf(day)))]),
  );
  const allWeeks = unique(humans.map(({ day }) => mondayOf(day))).toSorted();
  const firstWeek = (own: string[]): string => own.toSorted()[0]!;
  const inWeek = (week: string): string[][] => [...seenIn.values()].filter((own) => own.includes(week));
  answers.set(
    "How many people were there over a longer time?",
    allWeeks.map((week) => [week, inWeek(week).length]),
  );
  answers.set(
    "How many of them are new?",
    allWeeks
      .filter((week) => inWeek(week).length > 0)
      .map((week) => {
        const fresh = inWeek(week).filter((own) => firstWeek(own) === week).length;
        return [week, fresh, inWeek(week).length - fresh];
      }),
  );
  answers.set(
    "Do people come back?",
    allWeeks.flatMap((cohort) => {
      const own = [...seenIn.values()].filter((one) => firstWeek(one) === cohort);
      const after = (count: number): number => own.filter((one) => one.includes(addDays(cohort, 7 * count))).length;
      return own.length === 0 ? [] : [[cohort, own.length, after(1), after(2), after(3), after(4)]];
    }),
  );

  const ofPage = new Map(
    [...byPerson].map(([person, events]) => [person, events.filter(({ session_id }) => session_id !== "")]),
  );
  const states = [...buyers].flatMap(([person, own]) => {
    const last = ofPage.get(person)?.at(-1);
    if (last === undefined) return [];
    const days = (Date.parse(nowDay) - Date.parse(last.day)) / dayMs;
    const state = days < 14 ? "1 here" : days < 28 ? "2 quiet" : "3 gone";
    return [{ state, cents: sum(own.filter(({ currency }) => currency === "EUR").map(netOf)) }];
  });
  answers.set(
    "Which customers are leaving?",
    inOrder(
      [...group(states, ({ state }) => state)].map(([state, some]) => [
        state,
        some.length,
        money(sum(some.map(({ cents }) => cents))),
      ]),
      ([state]) => [state],
    ),
  );
  const wasSeen = (events: Event[], from: number, to: number): boolean =>
    events.some(({ day }) => day >= addDays(nowDay, from) && day < addDays(nowDay, to));
  const before = [...ofPage.values()].filter((events) => wasSeen(events, -56, -28));
  const lost = before.filter((events) => !wasSeen(events, -28, 0)).length;
  answers.set("How many are lost from one month to the next?", [[before.length, lost, percent(lost, before.length)]]);

  const searches = humans.filter(({ name }) => name === "Products Searched");
  answers.set(
    "What do people search for?",
    inOrder(
      [...group(searches, ({ properties }) => text(properties["query"]).trim().toLowerCase())].map(([term, some]) => [
        term,
        some.length,
        countPeople(some),
        some.filter(({ properties }) => properties["results"] === 0).length,
        countPeople(
          some.filter(({ person, ms }) =>
            (buyers.get(person) ?? []).some((order) => order.ms > ms && order.ms <= ms + 7 * dayMs),
          ),
        ),
      ]),
      ([term, , people]) => [down(people), term],
    ),
  );
  const forms = known.filter(({ name }) => ["Form Submitted", "Form Abandoned"].includes(name));
  answers.set(
    "Which forms are abandoned, and at which field?",
    inOrder(
      [...group(forms, ({ properties }) => text(properties["form"]))].map(([form, some]) => {
        const sent = countPeople(some.filter(({ name }) => name === "Form Submitted"));
        const left = some.filter(({ name }) => name === "Form Abandoned");
        const fields = unique(left.map(({ properties }) => text(properties["last_field"]))).toSorted();
        return [
          form,
          sent,
          countPeople(some) - sent,
          percent(countPeople(some) - sent, countPeople(some)),
          fields.join(","),
        ];
      }),
      ([form]) => [form],
    ),
  );

  const choices = new Map(
    all
      .filter(({ type }) => type === "consent")
      .map((event) => [event.person === 0 ? event.consent_id : event.person, event]),
  );
  const variants = [...choices.values()].map((event) => {
    const stated = new Map(event["choice.purpose"].map((purpose, n) => [purpose, event["choice.state"][n]]));
    return { variant: (JSON.parse(event.notice) as { variant: string }).variant, stated };
  });
  answers.set(
    "Which banner do people say yes to?",
    inOrder(
      [...group(variants, ({ variant }) => variant)].map(([variant, some]) => [
        variant,
        some.length,
        ...["measurement", "profile", "ads"].map((purpose) =>
          percent(some.filter(({ stated }) => stated.get(purpose) === "granted").length, some.length),
        ),
      ]),
      ([variant]) => [variant],
    ),
  );

  const best = [...buyers].flatMap(([person, own]) => {
    const userIds = unique(
      byPerson
        .get(person)!
        .map(({ user_id }) => user_id)
        .filter(Boolean),
    )
      .toSorted()
      .join(",");
    return [...group(own, ({ currency }) => currency)].map(([currency, some]) => [
      person,
      userIds,
      own.length,
      currency,
      money(sum(some.map(netOf))),
    ]);
  });
  const ranked = inOrder(best, ([person, , , currency, value]) => [currency, down(value), person]);
  answers.set(
    "Who are the best customers?",
    [...group(ranked, (row) => row[3])].flatMap(([, some]) => some.slice(0, 3)),
  );

  const views = known.filter(({ type, session_id }) => type === "page" && session_id !== "");
  const steps = [...group(views, ({ session_id }) => session_id).values()].flatMap((own) =>
    own.slice(1).map((to, n) => ({ from: own.at(n)!.url_path, to: to.url_path, person: own.at(n)!.person })),
  );
  answers.set(
    "Where do people go from a page?",
    inOrder(
      [...group(steps, ({ from, to }) => `${from},${to}`)]
        .filter(([, some]) => some.length > 1 && some.some(({ from, to }) => from !== to))
        .map(([key, some]) => [...key.split(","), some.length, countPeople(some)]),
      ([from, to, times]) => [down(times), from, to],
    ),
  );

  answers.set(
    "How many touches does an order take?",
    inOrder(
      [...group(ways, ({ touches }) => touches.length)].map(([count, some]) => [
        count,
        some.length,
        roundTo(sum(some.map(({ order }) => order.cents)) / 100 / some.length, 2),
      ]),
      ([count]) => [count],
    ),
  );

  const members = recentBuyers(rows, happened, Date.parse(`${nowDay}T06:00:00Z`));
  const ordersOfMembers = members.map((person) => buyers.get(person)!);
  const visitsOfMembers = members.map(
    (person) =>
      unique(
        byPerson
          .get(person)!
          .map(({ session_id }) => session_id)
          .filter(Boolean),
      ).length,
  );
  answers.set("What are the people of an audience worth?", [
    [
      members.length,
      ordersOfMembers.filter((own) => own.length > 1).length,
      money(
        sum(
          ordersOfMembers
            .flat()
            .filter(({ currency }) => currency === "EUR")
            .map(netOf),
        ),
      ),
      roundTo(sum(visitsOfMembers) / members.length, 2),
    ],
  ]);

  answers.set(
    "How much of it is machines?",
    inOrder(
      [...group(all, ({ bot }) => (bot === "" ? "people" : bot))].map(([who, some]) => [
        who,
        some.length,
        some.filter(({ type }) => type === "page").length,
      ]),
      ([, count]) => [down(count)],
    ),
  );

  answers.set(
    "How late do events come?",
    inOrder(
      [...group(humans, ({ device }) => device)].map(([device, some]) => {
        const seconds = some
          .map(({ ms, received_at }) => Math.floor((Date.parse(`${received_at.replace(" ", "T")}Z`) - ms) / 1000))
          .toSorted((a, b) => a - b);
        return [
          device,
          some.length,
          seconds[Math.floor(seconds.length / 2)] ?? 0,
          seconds.filter((one) => one > 3600).length,
        ];
      }),
      ([device]) => [device],
    ),
  );
  return answers;
}

/** The people in an audience of those who ordered in the last 14 days, at a moment. */
export function recentBuyers(rows: readonly LoadedEventRow[], happened: Happened, at: number): number[] {
  const personOf = peopleOf(rows, happened);
  const recent = rows.filter(({ name, time, site }) => {
    const ms = Date.parse(`${time.replace(" ", "T")}Z`);
    return site === "shop" && name === "Order Completed" && ms > at - 14 * dayMs && ms <= at;
  });
  return unique(recent.map(({ atom }) => personOf(atom)).filter((person) => person !== 0));
}

/** One person: identities with one user id, or of a device and of who logged in on it. No device in the examples has two users. */
function peopleOf(rows: readonly LoadedEventRow[], { merged, erased }: Happened): (atom: number) => number {
  const person = new Map(rows.map(({ atom }) => [atom, atom]));
  const join = (one: number, other: number): void => {
    const ends = [person.get(one)!, person.get(other)!];
    for (const [atom, whose] of person) if (whose === Math.max(...ends)) person.set(atom, Math.min(...ends));
  };
  for (const a of rows)
    for (const b of rows)
      if (a.atom !== 0 && b.atom !== 0 && a.atom < b.atom && a.site === b.site) {
        const isUser = a.user_id !== "" && a.user_id === b.user_id;
        if (isUser || (a.anonymous_id !== "" && a.anonymous_id === b.anonymous_id)) join(a.atom, b.atom);
      }
  for (const [one, other] of merged) join(one, other);
  const gone = new Set(erased.map((atom) => person.get(atom)));
  return (atom) => (gone.has(person.get(atom)) ? 0 : (person.get(atom) ?? 0));
}

const funnel = ["Product Viewed", "Product Added", "Checkout Started", "Order Completed"];

/** How far the best attempt got: steps in this order, all within seven days of its first. */
function funnelLevel(events: readonly Event[]): number {
  const from = (start: Event): number => {
    let level = 1;
    for (const { name, ms } of events.slice(events.indexOf(start) + 1))
      if (name === funnel[level] && ms <= start.ms + 7 * dayMs) level += 1;
    return level;
  };
  return Math.max(0, ...events.filter(({ name }) => name === funnel[0]).map(from));
}

function ordersOf(events: readonly Event[]): Order[] {
  const sent = group(
    events.filter(({ name }) => name.startsWith("Order ")),
    ({ order_id, currency }) => `${order_id} ${currency}`,
  );
  return [...sent.values()].flatMap((same) => {
    const completed = same.filter(({ name }) => name === "Order Completed");
    const [first] = completed;
    if (first === undefined) return [];
    return [
      {
        id: first.order_id,
        person: first.person,
        ms: first.ms,
        day: first.day,
        session: first.session_id,
        currency: first.currency,
        cents: Math.max(...completed.map(centsOf)),
        refundedCents: sum(same.filter(({ name }) => name === "Order Refunded").map(centsOf)),
      },
    ];
  });
}

const visitsOf = (events: readonly Event[]): Visit[] =>
  [
    ...group(
      events.filter(({ session_id }) => session_id !== ""),
      ({ session_id }) => session_id,
    ),
  ].map(([id, own]) => ({
    id,
    person: own.at(-1)!.person,
    ms: own.at(0)!.ms,
    channel: own.find(isTouch)?.channel ?? "",
    campaign: own.find(isTouch)?.utm_campaign ?? "",
    paths: own.filter(({ type }) => type === "page").map(({ url_path }) => url_path),
    hasOrder: own.some(({ name }) => name === "Order Completed"),
  }));

const isTouch = ({ channel }: Event): boolean => channel !== "" && channel !== "internal";
const centsOf = ({ amount }: Event): number => Math.round(Number(amount) * 100);
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const netOf = ({ cents, refundedCents }: Order): number => cents + refundedCents;
const productOf = ({ properties }: Event): string => text(properties["product_id"]);
const productsOf = ({ properties }: Event): string[] =>
  ((properties["products"] ?? []) as { product_id: string }[]).map(({ product_id }) => product_id);

const mondayOf = (day: string): string => addDays(day, -((new Date(day).getUTCDay() + 6) % 7));
const addDays = (day: string, days: number): string =>
  new Date(Date.parse(day) + days * dayMs).toISOString().slice(0, 10);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
const unique = <Value>(values: readonly Value[]): Value[] => [...new Set(values)];
const countPeople = (some: readonly { person: number }[]): number =>
  unique(some.map(({ person }) => person).filter((person) => person !== 0)).length;
const money = (cents: number): number => Math.round(cents) / 100;
const percent = (part: number, whole: number): number => roundTo((100 * part) / whole, 0);

/** A half goes to the even neighbour, as in ClickHouse. */
function roundTo(value: number, digits: number): number {
  const scaled = value * 10 ** digits;
  const floor = Math.floor(scaled);
  const isHalf = Math.abs(scaled - floor - 0.5) < 1e-9;
  return (isHalf ? floor + (floor % 2) : Math.round(scaled)) / 10 ** digits;
}

function group<Value, Key>(values: readonly Value[], key: (value: Value) => Key): Map<Key, Value[]> {
  const groups = new Map<Key, Value[]>();
  for (const value of values) {
    const of = key(value);
    const found = groups.get(of);
    if (found === undefined) groups.set(of, [value]);
    else found.push(value);
  }
  return groups;
}

const down = (cell: Cell | undefined): number => -Number(cell);

/** By what `keys` says, the first difference deciding. */
const inOrder = (rows: Cell[][], keys: (row: Cell[]) => (Cell | undefined)[]): Cell[][] =>
  rows.toSorted((a, b) => {
    const [left, right] = [keys(a), keys(b)];
    const at = left.findIndex((one, n) => one !== right[n]);
    return at < 0 ? 0 : (left.at(at) ?? 0) < (right.at(at) ?? 0) ? -1 : 1;
  });
