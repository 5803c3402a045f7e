import type { Purpose } from "@polder/protocol";
import { faultOf } from "./banner-fault.ts";
import { wordsOf, type BannerWords } from "./banner-texts.ts";
import type { ChoiceDetails, ConsentStatus } from "./consent.ts";
import type { Polder } from "./create-polder.ts";

/** What a banner says. Texts are by language, as `en` or `pt-BR`. */
export interface BannerNotice {
  /** Of all the texts together; recorded with the choice, as the three below are. */
  version: string;
  hash?: string;
  /** Which of several banners this is; `banner` when absent. */
  variant?: string;
  /** That of the page when absent, and then those of the browser; the first that there is a text in. */
  language?: string;
  /** The first layer. It has to say who asks and for what. */
  texts: { [language: string]: BannerText };
  /**
   * The second layer: what is asked for, in this order. The same as `consent.purposes` in the configuration of the site. `necessary` may be
   * there as well: its text is shown, without a switch, and nobody is asked for it.
   */
  purposes: { [P in Purpose]?: { [language: string]: PurposeNotice } };
}

export interface PurposeNotice {
  title: string;
  text: string;
  /** As `polder tag` prints it; counts on plain http, where a browser cannot compute it. */
  hash?: string;
}

export interface BannerText extends Partial<BannerWords> {
  title: string;
  text: string;
  /** To http(s) addresses and paths; others are left out. */
  links?: { text: string; href: string }[];
}

const tag = "polder-banner";
const opener = "[data-polder-consent-open]";
/** A page that builds itself anew gets the banner back after this long. */
const restoreMs = 100;
/** For this long after an answer nothing below it can be pressed: a second click was meant for the same button. */
const shieldMs = 400;

const css = `:host{all:initial;position:absolute!important;--b:var(--polder-accent,#1c4a8a)}
*{box-sizing:border-box}
[hidden]{display:none!important}
section,#open,#shield{position:fixed;z-index:2147483646}
section,#open{left:12px;bottom:12px;font:var(--polder-font,16px/1.5 system-ui,sans-serif);color:var(--polder-color,#1a1d21);background:var(--polder-background,#fff);border:1px solid var(--polder-border,#69707d);border-radius:var(--polder-radius,8px)}
section{right:12px;max-width:var(--polder-width,44em);max-height:calc(100vh - 24px);margin:auto;padding:16px 20px;overflow:auto;box-shadow:0 4px 24px #0004}
h2,p{margin:0 0 8px;font-size:1em}
h2{font-size:1.2em}
p,label,b{overflow-wrap:anywhere}
a{color:var(--b);margin-inline-end:12px}
#buttons{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}
button{flex:1 1 9em;min-height:44px;padding:8px 16px;font:inherit;cursor:pointer;color:var(--polder-accent-color,#fff);background:var(--b);border:2px solid var(--b);border-radius:inherit}
.quiet{color:var(--b);background:none}
#open{flex:none;min-height:0;padding:4px 12px;font-size:14px}
label,b{display:flex;gap:10px;align-items:center;font-weight:600;min-height:32px}
input{flex:none;width:24px;height:24px;margin:0;accent-color:var(--b)}
:focus-visible{outline:3px solid var(--polder-focus,#b45309);outline-offset:2px}
@media(min-height:560px){section{scroll-padding-bottom:240px}#buttons{position:sticky;bottom:-16px;margin-bottom:-16px;padding:8px 0 16px;background:inherit}}
@media print{:host{display:none}}`;

/**
 * Asks for a choice while there is none, and lets it be changed from any element with `data-polder-consent-open`, or from a small button
 * where the page has no such element. Keeps nothing: whether it shows follows from the choice alone. One banner at a time: the last one shown.
 * Of an incomplete notice nothing is shown, and the console says what is missing.
 * @returns what takes it away.
 */
export function showBanner({ consent }: Pick<Polder, "consent">, notice: BannerNotice): () => void {
  const fault = faultOf(notice, consent.get().purposes);
  if (fault) {
    console.error(`[polder] no banner: in the notice, ${fault}`);
    return () => {};
  }
  // The one before hears it, also when it is of another copy of this file.
  document.dispatchEvent(new Event(tag));
  const { texts, purposes } = notice;
  const language = languageOf(notice);
  const { title, text, links = [], ...own } = texts[language]!;
  const words = { ...wordsOf(language), ...own };
  const listed = Object.entries(purposes).map(([purpose, inLanguages]) => {
    const shown = inLanguages[language] ? language : Object.keys(inLanguages)[0]!;
    return { purpose: purpose as Purpose, inLanguages, shown, ...inLanguages[shown]! };
  });
  const asked = listed.filter(({ purpose }) => purpose !== "necessary");

  const host = document.createElement(tag);
  host.setAttribute("data-polder-private", "");
  speak(host, language);
  const root = host.attachShadow({ mode: "open" });
  try {
    // A strict policy forbids styles of elements and in them, not these.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } catch {
    root.append(make("style", { textContent: css }));
  }

  // Ready before anyone can have read the text.
  const hashes: ChoiceDetails["texts"] & object = {};
  /** Of every text of today, in whatever language it was agreed to. */
  const ofToday: { [P in Purpose]?: string[] } = {};
  const hashAll = async (): Promise<void> => {
    for (const { purpose, shown, inLanguages } of asked) {
      const known: (string | undefined)[] = [];
      for (const [name, one] of Object.entries(inLanguages)) {
        const digest = await hashOf(JSON.stringify(["polder.text/1", purpose, name, one.title, one.text]), one.hash);
        known.push(digest);
        if (digest && name === shown) hashes[purpose] = digest;
      }
      // Where one is not known, none can be called outdated.
      if (known.every((each) => each !== undefined)) ofToday[purpose] = known;
    }
    // What the visitor has opened meanwhile stays as it is, but for a yes to other words.
    if (!panel.hidden && !second.hidden) {
      for (const { purpose, box } of switches) box.checked &&= !isOutdated(purpose);
    } else if (isDue()) show(false);
  };

  const { version, hash, variant = "banner" } = notice;
  /** Agreed to in other words than those of today. */
  const isOutdated = (purpose: Purpose): boolean => {
    const { purposes: held, texts: agreed } = consent.get();
    const read = agreed?.[purpose];
    return held[purpose] && !!read && ofToday[purpose]?.some((known) => known.startsWith(read)) === false;
  };
  const choose = (isYes: (purpose: Purpose) => boolean, objectedFrom?: ConsentStatus["purposes"]): void => {
    const { x, y, width, height } = panel.getBoundingClientRect();
    consent.set(
      { ...objectedFrom, ...Object.fromEntries(asked.map(({ purpose }) => [purpose, isYes(purpose)])) },
      {
        notice: { version, ...(hash && { hash }), language, variant },
        texts: hashes,
        ...(objectedFrom && { isObjection: true }),
      },
    );
    shield.style.cssText = `left:${x}px;top:${y}px;width:${width}px;height:${height}px`;
    shield.hidden = false;
    setTimeout(() => (shield.hidden = true), shieldMs);
    hide();
  };

  const heading = make("h2", { textContent: title, id: "title", tabIndex: -1 });
  const second = make("div", { hidden: true, id: "purposes" });
  second.setAttribute("role", "group");
  second.setAttribute("aria-label", words.choose);
  const switches = listed.flatMap(({ purpose, title: name, text: told, shown }) => {
    const isAsked = purpose !== "necessary";
    const label = make(isAsked ? "label" : "b");
    const about = make("p", { id: `${purpose}-text`, textContent: told });
    speak(label, shown);
    speak(about, shown);
    second.append(label, about);
    if (!isAsked) {
      label.append(name);
      return [];
    }
    const box = make("input", { type: "checkbox", id: purpose });
    box.setAttribute("role", "switch");
    box.setAttribute("aria-describedby", about.id);
    label.append(box, name);
    return { purpose, box, about, told };
  });
  const isOn = (wanted: Purpose): boolean => switches.some(({ purpose, box }) => purpose === wanted && box.checked);
  const more = button(words.choose, () => {
    unfold(!!second.hidden);
    // They come before the button: the next Tab would pass them by.
    second.querySelector<HTMLElement>("input:enabled")?.focus();
  });
  more.className = "quiet";
  more.setAttribute("aria-controls", "purposes");
  const save = button(words.save, () => {
    const { regime, purposes: held } = consent.get();
    // What was on without a question is no yes for having been left on.
    const isObjection = regime && switches.every(({ purpose, box }) => held[purpose] || !box.checked);
    choose(isOn, isObjection ? held : undefined);
  });
  const unfold = (isOpen: boolean): void => {
    second.hidden = save.hidden = !isOpen;
    more.setAttribute("aria-expanded", String(isOpen));
  };
  const accept = button(words.accept, () => choose(() => true));
  const buttons = make("div", { id: "buttons" });
  buttons.append(
    button(words.refuse, () => choose(() => false)),
    accept,
    more,
    save,
  );
  const panel = make("section", { hidden: true });
  panel.setAttribute("role", "dialog");
  panel.setAttribute("aria-labelledby", "title");
  panel.setAttribute("aria-describedby", "about");
  const about = make("p", { textContent: text, id: "about" });
  panel.append(
    heading,
    about,
    // `javascript:` would run in the page.
    ...links
      .map(({ text: name, href }) => make("a", { textContent: name, href }))
      .filter(({ protocol }) => /^https?:$/.test(protocol)),
    second,
    buttons,
  );
  const open = button(words.open, () => show(true));
  open.id = "open";
  const shield = make("div", { id: "shield", hidden: true });
  root.append(panel, open, shield);

  let focusedBefore: HTMLElement | null = null;
  /** The small button is there while the banner is not, on a page without a way of its own. */
  const look = (): void => {
    open.hidden = !panel.hidden || !!document.querySelector(opener);
  };
  const hide = (): void => {
    const hadFocus = document.activeElement === host;
    panel.hidden = true;
    look();
    if (hadFocus) (open.hidden ? focusedBefore : open)?.focus();
    focusedBefore = null;
  };
  /** @param isAsked by the visitor, who then gets what they chose before, to change it. */
  const show = (isAsked: boolean): void => {
    const { purposes: held, gpc, regime } = consent.get();
    for (const { purpose, box, about: line, told } of switches) {
      const isObjected = gpc && purpose === "ads";
      box.checked = held[purpose] && !isOutdated(purpose);
      box.disabled = isObjected;
      line.textContent = isObjected ? `${told} ${words.gpc}` : told;
    }
    unfold(isAsked);
    // Where everything is permitted until an objection there is nothing to accept at once.
    accept.hidden = !!regime && regime !== "asked";
    if (isAsked) focusedBefore = document.activeElement as HTMLElement | null;
    panel.hidden = false;
    look();
    if (isAsked) heading.focus();
  };
  /** Whether it has to be answered: not where the regime is another, nor while that is being asked; again when a text has changed. */
  const isDue = (): boolean => {
    const { status, regime } = consent.get();
    return (status === "unset" && !regime) || asked.some(({ purpose }) => isOutdated(purpose));
  };
  const follow = (): void => (isDue() ? show(false) : hide());
  const isOver = consent.onChange(follow);
  const reopen = (event: Event): void => {
    if (!(event.target as Element).closest?.(opener)) return;
    event.preventDefault();
    show(true);
  };
  // Before anything in the page can stop it.
  document.addEventListener("click", reopen, true);
  // It is no answer. Only a banner that the visitor opened, with an answer on record, is put away by it.
  panel.addEventListener("keydown", ({ key }) => key === "Escape" && !isDue() && hide());

  /** First, so that the keyboard and a screen reader meet it first; the focus stays where it is. */
  const place = (): void => document.body.prepend(host);
  let restoring: ReturnType<typeof setTimeout> | undefined;
  // Routes replace the whole body, or take the page's own opener along. At most once in a while, so that nobody can be fought over the place.
  const watch = new MutationObserver(() => {
    restoring ||= setTimeout(() => {
      restoring = undefined;
      if (!host.isConnected) place();
      look();
    }, restoreMs);
  });
  const leave = (): void => {
    isOver();
    watch.disconnect();
    clearTimeout(restoring);
    document.removeEventListener("click", reopen, true);
    document.removeEventListener(tag, leave);
    host.remove();
  };
  document.addEventListener(tag, leave);
  place();
  follow();
  watch.observe(document, { childList: true, subtree: true });
  void hashAll();
  return leave;
}

/** @param given where there are no digests, as on plain http. */
async function hashOf(text: string, given: string | undefined): Promise<string | undefined> {
  // Typed as always there.
  const { subtle } = crypto as Partial<Crypto>;
  if (!subtle) return given;
  const digest = await subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Says which language an element is in, and which way that is written, whatever the page is in. */
function speak(element: HTMLElement, language: string): void {
  element.lang = language;
  element.dir = /^(ar|ckb|dv|fa|he|ps|sd|ug|ur|yi)\b|-(arab|hebr)\b/i.test(language) ? "rtl" : "ltr";
}

function languageOf({ language, texts }: BannerNotice): string {
  const wanted = [language ?? document.documentElement.lang, ...navigator.languages];
  const known = Object.keys(texts);
  for (const each of wanted) {
    for (const name of [each, each.split("-")[0]]) {
      const found = known.find((one) => one.toLowerCase() === name!.toLowerCase());
      if (found) return found;
    }
  }
  return known[0]!;
}

function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Partial<HTMLElementTagNameMap[Name]> = {},
): HTMLElementTagNameMap[Name] {
  return Object.assign(document.createElement(name), properties);
}

function button(textContent: string, run: () => void): HTMLButtonElement {
  const element = make("button", { type: "button", textContent });
  element.addEventListener("click", run);
  return element;
}
