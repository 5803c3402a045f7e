import type { Polder } from "../create-polder.ts";
import { whenThere } from "./platform.ts";

interface GppEvent {
  pingData: { signalStatus: string; gppString: string; parsedSections: object };
}
type GppApi = (command: "addEventListener", callback: (event: GppEvent | null) => void) => unknown;

// Sections are objects in one version of the API and lists of them in another. In every state, the names of what can be opted out of end so.
const optOut = /(OptOut|OptOutSale|"Gpc)":(1|true|"Y)/;

/**
 * Follows a platform of the IAB's Global Privacy Platform (`__gpp`), its sections of the United States: who opted out of sale, sharing or
 * targeted advertising gives no `ads`, whatever they say yes to elsewhere. It never gives anything: not to opt out is no consent.
 */
export const readGpp = ({ consent }: Pick<Polder, "consent">): void => {
  let objection = "";
  const object = (): void => {
    const { purposes } = consent.get();
    if (objection && purposes.ads)
      consent.set({ ...purposes, ads: false }, { raw: { gpp: objection }, isObjection: true });
  };
  consent.onChange(object);
  whenThere("__gpp", (api: GppApi) =>
    api("addEventListener", (event) => {
      const pingData = event?.pingData;
      if (pingData?.signalStatus !== "ready") return;
      objection = optOut.test(JSON.stringify(pingData.parsedSections)) ? pingData.gppString : "";
      object();
    }),
  );
};
