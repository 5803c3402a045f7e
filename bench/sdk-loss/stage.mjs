import { setTimeout as sleep } from "node:timers/promises";
import { startElsewhere, startSite } from "./site.mjs";
import { startSink } from "./sink.mjs";

/** A visitor looks at a page for this long before anything happens. */
const lookingMs = 1_000;

/**
 * A site, another site and a collector, each on a port of its own, and one visitor who has never seen them.
 * @param alone runs one at a time on all stages: what another stage's work would slow down.
 * @param act gets the stage; whatever it did to the servers and tabs ends with it.
 */
export async function withStage({ browser, sdk, certificate, alone = (run) => run() }, act) {
  const sink = await startSink({ certificate, sdk });
  const elsewhere = await startElsewhere({ certificate });
  const site = await startSite({
    certificate,
    script: sdk.script,
    tag: sdk.tagFor(sink.url),
    awayUrl: elsewhere.url,
  });
  const visitor = await browser.newVisitor((sdk.cookies ?? []).map((cookie) => ({ ...cookie, url: site.url })));
  const leftAt = [];
  try {
    return await act({
      sink,
      site,
      elsewhere,
      isReady: sdk.isReady,
      visitor,
      alone,
      /** To be called when a tab is about to go away. */
      leaves: () => leftAt.push(Date.now()),
      summary: () => sink.summary(leftAt),
      /** A tab on the site, after the SDK has started and the visitor has looked around. */
      async visit(path = "/") {
        const tab = await alone(async () => {
          const opened = await visitor.newTab();
          await opened.goTo(site.url + path);
          await opened.until(sdk.isReady);
          return opened;
        });
        await sleep(lookingMs);
        return tab;
      },
    });
  } finally {
    await visitor.leaveForGood();
    for (const origin of [sink, elsewhere, site]) await origin.stop();
  }
}
