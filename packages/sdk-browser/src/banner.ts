import type { Purpose } from "@polder/protocol";
import { wordsOf, type BannerWords } from "./banner-texts.ts";
import type { ChoiceDetails } from "./consent.ts";
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
  /** The second layer: what is asked for, in this order. The same as `consent.purposes` in the configuration of the site. */
  purposes: { [P in Purpose]?: { [language: string]: { title: string; text: string } } };
}

export interface BannerText extends Partial<BannerWords> {
  title: string;
  text: string;
  links?: { text: string; href: string }[];
}

const tag = "polder-banner";
const opener = "[data-polder-consent-open]";

const css = `:host{all:initial;--b:var(--polder-accent,#1c4a8a)}
*{box-sizing:border-box}
[hidden]{display:none!important}
section,#open{position:fixed;z-index:2147483646;left:12px;bottom:12px;font:var(--polder-font,16px/1.5 system-ui,sans-serif);color:var(--polder-color,#1a1d21);background:var(--polder-background,#fff);border:1px solid var(--polder-border,#69707d);border-radius:var(--polder-radius,8px)}
section{right:12px;max-width:var(--polder-width,44em);max-height:calc(100vh - 24px);margin:auto;padding:16px 20px;overflow:auto;box-shadow:0 4px 24px #0004}
h2,p{margin:0 0 8px;font-size:1em}
h2{font-size:1.2em}
p,label{overflow-wrap:anywhere}
a{color:var(--b);margin-right:12px}
#buttons{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}
button{flex:1 1 9em;min-height:44px;padding:8px 16px;font:inherit;cursor:pointer;color:var(--polder-accent-color,#fff);background:var(--b);border:2px solid var(--b);border-radius:inherit}
.quiet{color:var(--b);background:none}
#open{flex:none;min-height:0;padding:4px 12px;font-size:14px}
label{display:flex;gap:10px;align-items:center;font-weight:600;min-height:32px}
input{flex:none;width:24px;height:24px;margin:0;accent-color:var(--b)}
:focus-visible{outline:3px solid var(--polder-focus,#b45309);outline-offset:2px}
@media(min-height:560px){section{scroll-padding-bottom:240px}#buttons{position:sticky;bottom:-16px;margin-bottom:-16px;padding:8px 0 16px;background:inherit}}
@media print{:host{display:none}}`;

/**
 * Asks for a choice while there is none, and lets it be changed from any element with `data-polder-consent-open`, or from a small button
 * where the page has no such element. Keeps nothing: whether it shows follows from the choice alone.
 * @returns what takes it away.
 */
export function showBanner({ consent }: Pick<Polder, "consent">, notice: BannerNotice): () => void {
  document.querySelector(tag)?.remove();
  const { texts, purposes } = notice;
  const language = languageOf(notice);
  const { title, text, links = [], ...own } = texts[language]!;
  const words = { ...wordsOf(language), ...own };
  const asked = Object.entries(purposes).map(([purpose, inLanguages]) => {
    const shown = inLanguages[language] ? language : Object.keys(inLanguages)[0]!;
    return { purpose: purpose as Purpose, inLanguages, shown, ...inLanguages[shown]! };
  });

  const host = document.createElement(tag);
  host.setAttribute("data-polder-private", "");
  host.lang = language;
  const root = host.attachShadow({ mode: "open" });
  try {
    // A strict policy forbids styles of elements and in them, not these.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [sheet];
  } catch {
    root.append(make("style", { textContent: css }));
  }

  // Ready before anyone can have read the text. Plain http has no digests: the record then has the version alone.
  const hashes: ChoiceDetails["texts"] & object = {};
  /** Of every text of today, in whatever language it was agreed to. */
  const ofToday: { [P in Purpose]?: string[] } = {};
  const hashAll = async (): Promise<void> => {
    for (const { purpose, shown, inLanguages } of asked) {
      const known: string[] = [];
      for (const [name, told] of Object.entries(inLanguages)) {
        const hash = await hashOf(JSON.stringify(["polder.text/1", purpose, name, told.title, told.text]));
        known.push(hash);
        if (name === shown) hashes[purpose] = hash;
      }
      ofToday[purpose] = known;
    }
    if (isDue()) show(false);
  };

  const { version, hash, variant = "banner" } = notice;
  /** Agreed to in other words than those of today. */
  const isOutdated = (purpose: Purpose): boolean => {
    const { purposes: held, texts: agreed } = consent.get();
    const read = agreed?.[purpose];
    return held[purpose] && !!read && ofToday[purpose]?.some((known) => known.startsWith(read)) === false;
  };
  const choose = (isYes: (purpose: Purpose) => boolean): void => {
    consent.set(Object.fromEntries(asked.map(({ purpose }) => [purpose, isYes(purpose)])), {
      notice: { version, ...(hash && { hash }), language, variant },
      texts: hashes,
    });
    hide();
  };

  const heading = make("h2", { textContent: title, id: "title", tabIndex: -1 });
  const second = make("div", { hidden: true, id: "purposes" });
  second.setAttribute("role", "group");
  second.setAttribute("aria-label", words.choose);
  const switches = asked.map(({ purpose, title: name, text: told }) => {
    const box = make("input", { type: "checkbox", id: purpose });
    box.setAttribute("role", "switch");
    box.setAttribute("aria-describedby", `${purpose}-text`);
    const label = make("label");
    label.append(box, name);
    const about = make("p", { id: `${purpose}-text`, textContent: told });
    second.append(label, about);
    return { purpose, box, about, told };
  });
  const isOn = (wanted: Purpose): boolean => switches.some(({ purpose, box }) => purpose === wanted && box.checked);
  const more = button(words.choose, () => unfold(!!second.hidden));
  more.className = "quiet";
  more.setAttribute("aria-controls", "purposes");
  const save = button(words.save, () => choose(isOn));
  const unfold = (isOpen: boolean): void => {
    second.hidden = save.hidden = !isOpen;
    more.setAttribute("aria-expanded", String(isOpen));
  };
  const buttons = make("div", { id: "buttons" });
  buttons.append(
    button(words.refuse, () => choose(() => false)),
    button(words.accept, () => choose(() => true)),
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
    ...links.map(({ text: name, href }) => make("a", { textContent: name, href })),
    second,
    buttons,
  );
  const open = button(words.open, () => show(true));
  open.id = "open";
  root.append(panel, open);

  let focusedBefore: HTMLElement | null = null;
  const hide = (): void => {
    const hadFocus = document.activeElement === host;
    panel.hidden = true;
    open.hidden = !!document.querySelector(opener);
    if (hadFocus) (open.hidden ? focusedBefore : open)?.focus();
    focusedBefore = null;
  };
  /** @param isAsked by the visitor, who then gets what they chose before, to change it. */
  const show = (isAsked: boolean): void => {
    const { purposes: held, gpc } = consent.get();
    for (const { purpose, box, about: line, told } of switches) {
      const isObjected = gpc && purpose === "ads";
      box.checked = held[purpose] && !isOutdated(purpose);
      box.disabled = isObjected;
      line.textContent = isObjected ? `${told} ${words.gpc}` : told;
    }
    unfold(isAsked);
    if (isAsked) focusedBefore = document.activeElement as HTMLElement | null;
    panel.hidden = false;
    open.hidden = true;
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
  document.addEventListener("click", reopen);
  // It is no answer. Only a banner that the visitor opened, with an answer on record, is put away by it.
  panel.addEventListener("keydown", ({ key }) => key === "Escape" && !isDue() && hide());

  // First, so that the keyboard and a screen reader meet it first; the focus stays where it is.
  document.body.prepend(host);
  follow();
  if (crypto.subtle) void hashAll();
  return () => {
    isOver();
    document.removeEventListener("click", reopen);
    host.remove();
  };
}

async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
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
