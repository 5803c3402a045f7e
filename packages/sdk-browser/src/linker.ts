import { deviceIdCookieName } from "@polder/protocol";
import type { Capture } from "./capture/capture.ts";
import { attributeOf, is, pathOf } from "./capture/element.ts";
import { recall, writeLocal } from "./device-storage.ts";
import type { Built } from "./tracker.ts";

export interface LinkOptions {
  /** Host names as `shop.example`, or `*.example.org` for all below it. Each must be among the origins of the site as well. */
  hosts: readonly string[];
}

// A token holds for two minutes; the other is for the way to the other host.
const renewTokenAfterMs = 60_000;
const maxWaitMs = 1000;

/**
 * Takes the visitor's id along to other hosts of the site, with links and GET forms, and takes one over on arrival where none is known; both
 * only with consent for `profile`. Has to be the first of the captures, or others see what it takes out of the address.
 */
export const linkDomains =
  ({ hosts }: LinkOptions): Capture =>
  ({ site, host, decision, line, on, onChoice }) => {
    /** "" when there is no answer. Never rejects. */
    const ask = (question: object): Promise<string> =>
      fetch(`${host}/v1/link`, {
        method: "POST",
        credentials: "include",
        body: JSON.stringify({ writeKey: site, ...question }),
      }).then(
        (answer) => (answer.ok ? answer.text() : ""),
        () => "",
      );
    const ownId = (): string => recall(deviceIdCookieName);

    let token = "";
    let tokenFor = "";
    let askedAt = 0;
    const follow = (event: Event): void => {
      const element = pathOf(event).find((each) => is(each, "a[href],form"));
      if (!element) return;
      const href = attributeOf(element, "href");
      const url = new URL(href || attributeOf(element, "action"), document.baseURI);
      const to = url.hostname;
      const isListed = hosts.some((name) => (name[0] === "*" ? to.endsWith(name.slice(1)) : to === name));
      if (!isListed || to === location.hostname) return;
      // Last: it reads cookies, which costs the page time.
      const id = decision().isPerson && ownId();
      if (!id) return;

      // A click cannot wait for an answer: it is asked for when something looks as if it will be clicked.
      const wanted = to + id;
      if (tokenFor !== wanted || Date.now() - askedAt > renewTokenAfterMs) {
        token = "";
        tokenFor = wanted;
        askedAt = Date.now();
        void ask({ to, id }).then((answer) => {
          if (tokenFor === wanted) token = answer;
        });
      }
      if (!token) return;
      const { type, button, formData } = event as MouseEvent & FormDataEvent;
      if (href && /click/.test(type) && button < 2) {
        url.search += `${url.search && "&"}polder_link=${token}`;
        element.setAttribute("href", url.href);
        // At once: an address that is copied, or read by the page, shall not carry the visitor. What the page made of it meanwhile stays.
        setTimeout(() => attributeOf(element, "href") === url.href && element.setAttribute("href", href));
      }
      if (formData && /^(get)?$/i.test(attributeOf(element, "method"))) formData.append("polder_link", token);
    };
    for (const type of ["pointerover", "focusin", "click", "auxclick", "formdata"]) on(document, type, follow);

    let arrived = "";
    const clean = location.href.replace(/([?&])polder_link=([\w-]*)(&?)/, (_, before, found: string, after) => {
      arrived = found;
      return after && before;
    });
    if (!arrived) return;
    history.replaceState(history.state, "", clean);
    // Who is known here stays who they are.
    if (ownId()) return;

    // Until it is known whose they are, finished events wait. Before a choice there are none.
    const { queue } = line;
    let waiting: Built[] = [];
    line.queue = (...built) => void waiting.push(built);
    /** @param taken the id as the other host's device keeps it; without one they keep their own. */
    const release = (taken = ""): void => {
      if (line.queue === queue) return;
      line.queue = queue;
      const idOf = (text: string): string => text.split(".")[0]!;
      const own = idOf(ownId());
      if (taken) writeLocal(deviceIdCookieName, taken);
      for (const [shared, event] of waiting) queue(shared, own ? event.replace(own, idOf(taken) || own) : event);
    };
    const decide = (): void => {
      const { status, isPerson } = decision();
      if (isPerson && arrived) {
        void ask({ token: arrived }).then(release);
        setTimeout(release, maxWaitMs);
        arrived = "";
      } else if (!isPerson && status !== "unset") {
        // Withdrawn while we asked: nothing but the record of that is left to send.
        if (!arrived) waiting = waiting.filter(([, event]) => event.includes('"type":"consent"'));
        release();
      }
    };
    decide();
    onChoice(decide);
    on(window, "pagehide", () => arrived || release());
  };
