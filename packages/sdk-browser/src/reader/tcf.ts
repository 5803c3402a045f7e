import type { Polder } from "../create-polder.ts";
import { isDisclosed } from "./is-disclosed.ts";
import { takeOver, whenThere, type PlatformPurposes } from "./platform.ts";

export interface TcfOptions {
  /** Number of yours in the Global Vendor List. Without one, what the visitor gave the publisher of the page counts. */
  vendor?: number;
  purposes?: PlatformPurposes<number>;
}

interface TcData {
  eventStatus: string;
  gdprApplies?: boolean;
  tcString: string;
  purpose?: { consents?: Consents };
  vendor?: { consents?: Consents };
  publisher?: { consents?: Consents };
}
type Consents = { [id: number]: boolean };
type TcfApi = (
  command: "addEventListener",
  version: 2,
  callback: (data: TcData | null, isSuccess: boolean) => void,
) => unknown;

/** All need purpose 1, storing on the device: so does every purpose of ours. */
const tcfPurposes: PlatformPurposes<number> = {
  measurement: [1, 8, 9, 10],
  profile: [1, 5, 9],
  personalisation: [1, 5, 6],
  prediction: [1, 5, 9],
  ads: [1, 2, 3, 4, 7],
};

/**
 * Follows a consent platform of the IAB's Transparency and Consent Framework (`__tcfapi`). Where the GDPR does not apply, or nobody knows
 * whether it does, the framework says nothing, and nothing is taken from it.
 */
export const readTcf = (polder: Pick<Polder, "consent">, { vendor, purposes = tcfPurposes }: TcfOptions = {}): void => {
  const follow = (data: TcData | null, isSuccess: boolean): void => {
    // Nothing, where the platform cannot do what it is asked.
    if (!isSuccess || !data?.gdprApplies) return;
    const { eventStatus, tcString } = data;
    const isAct = eventStatus === "useractioncomplete";
    if (!isAct && eventStatus !== "tcloaded") return;
    const isHeard = !vendor || (data.vendor?.consents?.[vendor] && isDisclosed(tcString, vendor));
    const consents = (vendor ? data.purpose : data.publisher)?.consents;
    takeOver(polder, purposes, (id) => !!isHeard && consents?.[id] === true, { tcf: tcString }, isAct);
  };
  whenThere("__tcfapi", (api: TcfApi) => api("addEventListener", 2, follow));
};
