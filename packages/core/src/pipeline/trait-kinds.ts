import type { Site, TraitKind } from "../ports/site-directory.ts";

const identity: TraitKind = { class: "identity", purpose: "profile", personal: true };
const personal: TraitKind = { class: "descriptive", purpose: "profile", personal: true };
const descriptive: TraitKind = { class: "descriptive", purpose: "profile", personal: false };
const behavioural: TraitKind = { class: "behavioural", purpose: "profile", personal: false };
const qualitative: TraitKind = { class: "qualitative", purpose: "profile", personal: false };

/** Traits of Segment's spec and what shops commonly send, by lower-case name without `_`, `-` and spaces. */
const builtIn: ReadonlyMap<string, TraitKind> = new Map([
  ...named(identity, [
    "email",
    "emailhash",
    "phone",
    "mobile",
    "username",
    "customerid",
    "customernumber",
    "loyaltyid",
    "id",
  ]),
  ...named(personal, [
    "firstname",
    "lastname",
    "name",
    "fullname",
    "address",
    "street",
    "postalcode",
    "postcode",
    "zip",
    "zipcode",
  ]),
  ...named(personal, [
    "birthday",
    "birthdate",
    "dateofbirth",
    "age",
    "gender",
    "title",
    "salutation",
    "avatar",
    "description",
    "website",
  ]),
  ...named(descriptive, [
    "city",
    "state",
    "region",
    "country",
    "language",
    "locale",
    "timezone",
    "currency",
    "company",
    "industry",
  ]),
  ...named(descriptive, ["employees", "plan", "tier", "segment", "type", "createdat", "status", "logins"]),
  ...named(behavioural, [
    "orders",
    "ordercount",
    "totalspent",
    "ltv",
    "lifetimevalue",
    "lastorder",
    "lastorderat",
    "lastseen",
    "visits",
  ]),
  ...named(behavioural, ["favouritecategory", "favoritecategory", "newsletter", "subscribed", "optin"]),
  ...named(qualitative, [
    "nps",
    "npsscore",
    "rating",
    "csat",
    "satisfaction",
    "feedback",
    "interest",
    "interests",
    "goal",
    "preference",
    "preferences",
  ]),
]);

function named(kind: TraitKind, names: readonly string[]): [string, TraitKind][] {
  return names.map((name) => [name, kind]);
}

/** The site's word, else the table's; a trait nobody knows counts as personal. */
export function traitKindOf(site: Site, name: string): TraitKind {
  if (Object.hasOwn(site.traits, name)) return site.traits[name]!;
  return builtIn.get(name.toLowerCase().replace(/[_\s-]/g, "")) ?? personal;
}
