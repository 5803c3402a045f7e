import { startOrigin } from "./origin.mjs";

/** A shop of two pages with an SDK on each, and a link away. @param tag what the head says, given the collector. */
export async function startSite({ certificate, script, tag, awayUrl }) {
  const page = `<!doctype html><title>A shop</title>${tag}
<h1>Hello</h1><p><a id="away" href="${awayUrl}/">Somewhere else</a></p>
<script>
  document.querySelector("#away").addEventListener("click", () => track("Link Clicked", { mark: "click" + location.search }));
  function burst(from, count) {
    const start = performance.now();
    for (let i = from; i < from + count; i++)
      track("Product Viewed", { mark: "m" + i, product_id: "sku-" + i, position: i, price: 12.5, currency: "EUR" });
    return performance.now() - start;
  }
</script>`;
  return startOrigin({
    certificate,
    host: "127.0.0.1",
    handle(request, response) {
      const isScript = request.url === "/sdk.js";
      response.writeHead(200, { "content-type": isScript ? "text/javascript" : "text/html; charset=utf-8" });
      response.end(isScript ? script : page);
    },
  });
}

/** Another site, with nothing on it. */
export const startElsewhere = ({ certificate }) =>
  startOrigin({
    certificate,
    host: "localhost",
    handle(_, response) {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end("<!doctype html><title>Elsewhere</title><h1>Elsewhere</h1>");
    },
  });
