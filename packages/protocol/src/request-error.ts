import type { RequestErrorCode } from "./reason.ts";

/** The status that each refusal of a whole request is answered with, and what it means to the sender. */
export const requestErrors: { readonly [C in RequestErrorCode]: { readonly status: number; readonly about: string } } =
  {
    not_json: { status: 400, about: "The body is not JSON." },
    invalid_body: { status: 400, about: "The body is JSON of another shape than this address takes." },
    empty_batch: { status: 400, about: "`batch` has no events." },
    broken_encoding: { status: 400, about: "The body does not inflate, or was cut off." },
    missing_key: { status: 401, about: "No key was given." },
    unknown_key: { status: 401, about: "Nobody has this key, or it is outside of its time." },
    origin_refused: {
      status: 403,
      about: "The page's origin may not use the key, or a server key was used where everyone can read it.",
    },
    server_key_required: { status: 403, about: "Only a server key may do this." },
    not_found: { status: 404, about: "There is nothing at this address." },
    too_many_events: { status: 413, about: "More than 1000 events in a request." },
    request_too_large: { status: 413, about: "More than 500 KiB after inflating." },
    unsupported_media_type: { status: 415, about: "Neither application/json nor text/plain." },
    unsupported_encoding: { status: 415, about: "A Content-Encoding other than gzip." },
    too_many_requests: { status: 429, about: "The site sends more events a second than it may. Nothing was stored." },
    overloaded: { status: 503, about: "Too much is being received at once." },
    log_unavailable: { status: 503, about: "The log did not confirm: it is not known whether the events are stored." },
    starting: { status: 503, about: "This collector does not know yet what visitors chose. Nothing was stored." },
    draining: { status: 503, about: "This collector is stopping." },
  };
