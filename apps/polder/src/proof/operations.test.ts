import { expect, it } from "vitest";
import { drawOperations, shrink, type Fault, type Operation } from "./operations.test-support.ts";

const view = { what: "view", device: 1, user: 0, value: 0, daysAgo: 0, isServer: false } as const;
const send = (...users: number[]): Operation => ({ do: "send", events: users.map((user) => ({ ...view, user })) });
const passTime: Operation = { do: "passTime", days: 1 };

it("draws the same operations for the same seed, and others for another", () => {
  expect(drawOperations(7, 20)).toEqual(drawOperations(7, 20));
  expect(drawOperations(8, 20)).not.toEqual(drawOperations(7, 20));
});

it("keeps of a failing sequence what it takes to fail, and nothing that fails otherwise", async () => {
  // Fails with the second user after the first one, and, which is another fault, without any operation before it.
  const find = (list: readonly Operation[]): Promise<Fault | undefined> => {
    const users = list.flatMap((operation) =>
      operation.do === "send" ? operation.events.map(({ user }) => user) : [],
    );
    const isFault = users.includes(1) && users.indexOf(2) > users.indexOf(1);
    const about = list.length < 2 ? "another" : "people";
    return Promise.resolve(isFault ? { step: list.length - 1, about, says: "" } : undefined);
  };
  const list = [passTime, send(3, 1), passTime, send(3), send(2, 3), passTime];
  const found = await shrink(list, { step: 4, about: "people", says: "" }, find, () => true);
  expect(found.list).toEqual([send(1), send(2)]);
  let tries = 3;
  const least = await shrink(list, { step: 4, about: "people", says: "" }, find, () => tries-- > 0);
  expect(least.list.length).toBeGreaterThan(2);
});
