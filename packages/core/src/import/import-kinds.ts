/** What a file can hold. A row of it becomes one or more events. */
export const importKinds = ["contacts", "orders", "returns", "tickets", "calls"] as const;
export type ImportKind = (typeof importKinds)[number];

/** How a cell is read; see `read-values.ts`. */
export type CellType =
  | "id"
  | "text"
  | "email"
  | "phone"
  | "time"
  | "date"
  | "money"
  | "number"
  | "duration"
  | "boolean"
  | "currency";

export interface ImportField {
  type: CellType;
  about: string;
  /** Where the value goes: to the person, to what happened, or to a place of its own (an id, the time, the currency). */
  to: { trait: string } | { property: string } | "own";
  /** Headers that are taken for it, in English and Dutch, as {@link normalHeader} writes them; the surest first. */
  headers: readonly string[];
  isNeeded?: true;
}

export type ImportFields = { readonly [name: string]: ImportField };

/** A header as it is compared: without case, accents, spaces and signs. */
export const normalHeader = (header: string): string =>
  header
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number}]/gu, "");

const words = (text: string): readonly string[] => text.split(" ");

const person = {
  user_id: {
    type: "id",
    about: "The id that your own system knows the person by.",
    to: "own",
    headers: words(
      "userid customerid klantid customernumber klantnummer customerno klantnr customer klant contactid relatienummer relatienr debiteurnummer lidnummer accountid user gebruikersid",
    ),
  },
  anonymous_id: {
    type: "id",
    about: "The visitor's id, as the browser script has it.",
    to: "own",
    headers: words("anonymousid visitorid polderaid polderid bezoekersid"),
  },
  email: {
    type: "email",
    about: "E-mail address: a trait, and a person for a row without an id.",
    to: { trait: "email" },
    headers: words(
      "email emailaddress emailadres mail mailadres customeremail klantemail billingemail contactemail epost",
    ),
  },
  phone: {
    type: "phone",
    about: "Phone number: a trait, and a person for a row without an id and an address.",
    to: { trait: "phone" },
    headers: words(
      "phone phonenumber telefoon telefoonnummer telefoonnr tel mobile mobilephone mobiel mobielnummer gsm billingphone caller callernumber beller nummerbeller",
    ),
  },
} as const satisfies ImportFields;

const time = (about: string, headers: string): ImportField => ({
  type: "time",
  about,
  to: "own",
  headers: words(headers),
  isNeeded: true,
});
const trait = (name: string, about: string, headers: string, type: CellType = "text"): ImportField => ({
  type,
  about,
  to: { trait: name },
  headers: words(headers),
});
const property = (name: string, about: string, headers: string, type: CellType = "text"): ImportField => ({
  type,
  about,
  to: { property: name },
  headers: words(headers),
});
const needed = (field: ImportField): ImportField => ({ ...field, isNeeded: true });

const currency: ImportField = {
  type: "currency",
  about: "ISO 4217 currency of the amounts.",
  to: "own",
  headers: words("currency currencycode valuta munt muntsoort"),
};
const total = (headers: string): ImportField => needed(property("total", "The amount.", headers, "money"));
const orderId = (about: string): ImportField =>
  property(
    "order_id",
    about,
    "orderid ordernumber ordernr orderno bestelnummer bestelnr ordernummer bestellingid bestelling order",
    "id",
  );

/** By kind: the fields that a column can be mapped to. The order is that of the documentation. */
export const importFields: { readonly [K in ImportKind]: ImportFields } = {
  contacts: {
    ...person,
    time: {
      type: "time",
      about: "Since when this is so: the latest word on a trait holds. Absent: the time of the file.",
      to: "own",
      headers: words("updatedat lastupdated updated modifiedat lastmodified gewijzigd gewijzigdop laatstgewijzigd"),
    },
    first_name: trait("firstName", "First name.", "firstname givenname voornaam"),
    last_name: trait("lastName", "Last name.", "lastname surname familyname achternaam familienaam"),
    name: trait("name", "Full name.", "name fullname naam volledigenaam"),
    birthday: trait("birthday", "Date of birth.", "birthday birthdate dateofbirth dob geboortedatum", "date"),
    gender: trait("gender", "Gender.", "gender sex geslacht"),
    street: trait("street", "Street and number.", "street address addressline1 straat adres straatnaam"),
    postal_code: trait("postalCode", "Postal code.", "postalcode postcode zip zipcode"),
    city: trait("city", "City.", "city town plaats woonplaats stad"),
    country: trait("country", "Country.", "country countrycode land landcode"),
    language: trait("language", "Language.", "language locale taal"),
    company: trait("company", "Company.", "company organisation organization bedrijf bedrijfsnaam organisatie"),
    newsletter: trait(
      "newsletter",
      "Whether the newsletter is wanted. A preference, and no consent.",
      "newsletter subscribed nieuwsbrief",
      "boolean",
    ),
    created_at: trait(
      "createdAt",
      "Customer since.",
      "createdat customersince created registered registeredat aangemaakt aangemaaktop klantsinds",
      "time",
    ),
  },
  orders: {
    ...person,
    order_id: needed(orderId("Id of the order: one row an order.")),
    time: time(
      "When it was placed.",
      "time orderedat ordertime orderdate orderdatetime completedat placedat createdat created date timestamp besteldop besteldatum orderdatum bestelmoment datum datumtijd tijd tijdstip aangemaakt",
    ),
    total: total(
      "total ordertotal totalamount grandtotal amount revenue totaal totaalbedrag orderbedrag bedrag totaalinclbtw bedraginclbtw totaalinclusiefbtw",
    ),
    currency,
    tax: property("tax", "Tax in it.", "tax vat btw btwbedrag", "money"),
    shipping: property("shipping", "Shipping in it.", "shipping shippingcosts verzendkosten", "money"),
    discount: property("discount", "Discount given.", "discount korting kortingsbedrag", "money"),
    coupon: property("coupon", "Code of the discount.", "coupon couponcode discountcode kortingscode"),
    store: property("store", "Where it was placed.", "store shop location winkel filiaal vestiging"),
    payment_method: property(
      "payment_method",
      "How it was paid.",
      "paymentmethod payment betaalmethode betaalwijze betaling",
    ),
    status: property("status", "Its status.", "status orderstatus"),
  },
  returns: {
    ...person,
    return_id: property(
      "return_id",
      "Id of the return. Absent: its order, its time and its amount tell it apart.",
      "returnid refundid returnnumber rma rmanumber retourid retournummer retournr retour",
      "id",
    ),
    order_id: needed(orderId("The order that it is of.")),
    time: time(
      "When the money went back.",
      "time refundedat returnedat refunddate returndate date timestamp createdat retourdatum geretourneerdop terugbetaaldop datum datumtijd tijd tijdstip",
    ),
    total: total(
      "total refund refundamount refunded amount refundtotal bedrag retourbedrag terugbetaald totaal terugbetaling",
    ),
    currency,
    reason: property("reason", "Why.", "reason returnreason reden retourreden"),
  },
  tickets: {
    ...person,
    ticket_id: needed(
      property(
        "ticket_id",
        "Id of the ticket: one row a ticket.",
        "ticketid ticketnumber ticketnr ticket caseid casenumber zaaknummer meldingsnummer meldingnr id",
        "id",
      ),
    ),
    time: time(
      "When it was opened.",
      "time openedat opened createdat created date timestamp geopend geopendop aangemaakt aangemaaktop datum datumtijd tijdstip",
    ),
    closed_at: {
      type: "time",
      about: "When it was closed; empty while it is open.",
      to: "own",
      headers: words("closedat closed solvedat resolvedat gesloten geslotenop opgelost opgelostop afgehandeldop"),
    },
    subject: property("subject", "What it is about.", "subject title onderwerp titel"),
    category: property("category", "Sort of question.", "category type topic categorie soort rubriek"),
    priority: property("priority", "Priority.", "priority prioriteit urgentie"),
    status: property("status", "Status.", "status"),
    channel: property("channel", "Where it came from: mail, chat, phone.", "channel source via kanaal bron"),
    agent: property("agent", "Who handled it.", "agent assignee handledby medewerker behandelaar"),
    satisfaction: property(
      "satisfaction",
      "The customer's mark.",
      "satisfaction satisfactionscore csat rating score tevredenheid cijfer beoordeling",
      "number",
    ),
  },
  calls: {
    ...person,
    call_id: property(
      "call_id",
      "Id of the call. Absent: the person and the time tell it apart.",
      "callid callnumber gespreksid gespreknummer id",
      "id",
    ),
    time: time(
      "When it began.",
      "time startedat start starttime calledat date timestamp createdat begonnenop begin begintijd datum datumtijd tijdstip",
    ),
    ended_at: {
      type: "time",
      about: "When it ended. Absent: its start and its duration say it.",
      to: "own",
      headers: words("endedat end endtime einde eindtijd geeindigdop"),
    },
    duration: property(
      "duration_seconds",
      "How long it took: seconds, 12:05 or 1:12:05.",
      "duration durationseconds seconds duur gespreksduur duurseconden",
      "duration",
    ),
    direction: property("direction", "Inbound or outbound.", "direction richting"),
    outcome: property("outcome", "How it ended.", "outcome result disposition uitkomst resultaat"),
    subject: property("subject", "What it was about.", "subject topic onderwerp"),
    queue: property("queue", "Line that it came in on.", "queue line wachtrij lijn"),
    agent: property("agent", "Who took it.", "agent handledby medewerker"),
    recording: property(
      "recording",
      "Where the recording is: an address or a key in your own archive. The recording itself stays there.",
      "recording recordingurl recordingid recordingreference opname opnameurl opnamelink opnameid",
    ),
  },
};

export const isImportKind = (text: string): text is ImportKind => (importKinds as readonly string[]).includes(text);
