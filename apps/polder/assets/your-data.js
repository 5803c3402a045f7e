// The visitor's own page: what is on record of this browser's choices, a withdrawal, and its receipt. Who asks is in a cookie that
// this script cannot read, so every question goes out with credentials and without an id.
const page = document.getElementById("your-data");
const url = page.dataset.consentUrl;
const tag = document.querySelector("script[data-site]");
const notice = JSON.parse(document.getElementById("polder-notice").textContent);
const find = (id) => document.getElementById(id);
const stateWords = {
  granted: "Yes",
  denied: "No",
  withdrawn: "Withdrawn",
  expired: "A yes that has grown too old: we will ask again",
  opted_out: "Opted out",
  not_required: "Nobody asks for it here",
  unset: "Not chosen",
};
const tableWords = {
  trait_state: "What you told us, as an e-mail address",
  profile_state: "Your profile: counts, first and last visit",
  identity_edge: "What joined this browser to a customer",
  atom: "The number of this browser",
  atom_event: "Your visits once more, put in order by visitor",
  consent_state: "Your last choice for each purpose",
  events: "Your visits, click by click",
};
const receiptHeader = "Polder-Receipt";
const askAgainAfterMs = 1000;

/** The choice on the device; none where Polder is not here. */
let chosenHere = () => ({ status: "unset", purposes: {} });
let receiptId = "";
let awaitsReceipt = false;
/** Of the newest choice that is shown, and of the one that was the newest before the choice changed. */
let shownId;
let outdatedId;
let askingTimer;
let turns = 0;

const make = (name, text = "", attributes = {}) => {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const say = (words) => {
  find("data-said").textContent = words;
};
const timeOf = (at) => new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short" }).format(new Date(at));
const titleOf = (purpose) => {
  const inLanguages = notice.purposes[purpose] ?? {};
  return (inLanguages.en ?? Object.values(inLanguages)[0])?.title ?? purpose;
};

/** Of a refusal, and of a yes to counting alone, nothing is on record that could be found again: then the device knows. */
const stateOf = ({ state, history }) => {
  const { status, purposes } = chosenHere();
  if (history.length > 0 || status === "unset") return state;
  return Object.fromEntries(Object.keys(state).map((purpose) => [purpose, purposes[purpose] ? "granted" : "denied"]));
};

const showState = (state) => {
  find("withdraw").hidden = !Object.keys(notice.purposes).some((purpose) => state[purpose] === "granted");
  find("data-state").replaceChildren(
    ...Object.keys(notice.purposes).map((purpose) => {
      const line = make("div");
      line.append(make("dt", titleOf(purpose)), make("dd", stateWords[state[purpose]] ?? state[purpose]));
      return line;
    }),
  );
};

const showHistory = (history) => {
  find("history-none").hidden = history.length > 0;
  find("history").replaceChildren(
    ...history.map(({ at, choices, language, gpc }) => {
      const entry = make("li");
      entry.append(make("h3", timeOf(at)));
      if (gpc) entry.append(make("p", "Your browser asked for no advertising (Global Privacy Control)."));
      const list = make("dl");
      for (const { purpose, state, title, text } of choices) {
        // Not asked here, and so a no.
        if (!(purpose in notice.purposes) && state === "denied") continue;
        list.append(
          make("dt", `${title || titleOf(purpose)}: ${stateWords[state] ?? state}`, title && { lang: language }),
        );
        if (text) list.append(make("dd", text, { lang: language }));
      }
      entry.append(list);
      return entry;
    }),
  );
};

const showReceipt = (receipt) => {
  find("receipt").hidden = !receipt && !awaitsReceipt;
  find("receipt-number").textContent = receiptId;
  find("receipt-lines").hidden = !receipt;
  find("receipt-said").textContent = receipt
    ? `Done on ${timeOf(receipt.doneAt)}.`
    : "Nothing new is stored as of now. What there was is being removed; that takes about a minute, and this page waits for it.";
  find("receipt-lines")
    .querySelector("tbody")
    .replaceChildren(
      ...(receipt?.tables ?? []).map(({ table, rows, remaining }) => {
        const line = make("tr");
        line.append(make("th", tableWords[table] ?? table, { scope: "row" }), make("td", rows), make("td", remaining));
        return line;
      }),
    );
};

const ask = async () => {
  const answer = await fetch(url, {
    credentials: "include",
    headers: receiptId === "" ? {} : { [receiptHeader]: receiptId },
  });
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
  return answer.json();
};

const doneWords = ({ history, receipt }) => {
  if (receiptId !== "") return receipt ? "The receipt is below." : "There is no receipt with this number.";
  return history.length > 0 ? "" : "Nothing is on record that belongs to this browser.";
};

/** A choice is written down about a second after it was made, and found by the id on the device, which comes with a yes to a profile alone. */
const hasChoice = ({ history }) =>
  !chosenHere().purposes.profile || (history.length > 0 && history[0].id !== outdatedId);

/** Asks until all that is expected is on record. */
const show = () => void showRecord();

const showRecord = async () => {
  clearTimeout(askingTimer);
  const turn = ++turns;
  try {
    const answer = await ask();
    // Asked again meanwhile, with another choice or number.
    if (turn !== turns) return;
    const { history, receipt } = answer;
    if (receipt) awaitsReceipt = false;
    showState(stateOf(answer));
    showHistory(history);
    showReceipt(receipt);
    shownId = history[0]?.id;
    if (!awaitsReceipt && hasChoice(answer)) say(doneWords(answer));
    else {
      say(awaitsReceipt ? "Your withdrawal is being carried out…" : "Your choice is being written down…");
      askingTimer = setTimeout(show, askAgainAfterMs);
    }
  } catch {
    say("The record cannot be reached just now. Your choice in this browser holds all the same.");
  }
};

const withdraw = async (polder) => {
  // Nothing on record is this browser's, so nothing has to be removed and there is no receipt of it.
  if (shownId === undefined && !chosenHere().purposes.profile) return polder.consent.withdraw();
  find("withdraw").disabled = true;
  say("Withdrawing…");
  try {
    const answer = await fetch(url, {
      method: "POST",
      credentials: "include",
      body: JSON.stringify({
        writeKey: tag.dataset.site,
        purposes: {},
        notice: { version: notice.version, language: "en", variant: "your-data" },
      }),
    });
    if (!answer.ok) throw new Error(`answered ${answer.status}`);
    receiptId = (await answer.json()).id;
    awaitsReceipt = true;
    // The cookie has changed under the script of the page, which now puts away everything it kept, in all tabs.
    polder.consent.get();
    showReceipt(null);
    find("receipt-title").focus();
    show();
  } catch {
    // A withdrawal depends on nobody's database: the browser stops, and tells the collector by itself.
    polder.consent.withdraw();
    say("Withdrawn. The record cannot be reached just now, so there is no receipt to show.");
  } finally {
    find("withdraw").disabled = false;
  }
};

const start = (polder) => {
  chosenHere = polder.consent.get;
  find("withdraw").addEventListener("click", () => void withdraw(polder));
  polder.consent.onChange(() => {
    outdatedId = shownId;
    show();
  });
  show();
};

find("lookup").addEventListener("submit", (event) => {
  event.preventDefault();
  receiptId = find("lookup-number").value.trim();
  awaitsReceipt = false;
  show();
});
if (window.polder) start(window.polder);
else {
  tag.addEventListener("load", () => (window.polder ? start(window.polder) : show()));
  tag.addEventListener("error", () => show());
}
