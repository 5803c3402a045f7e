export function EmptyState({
  shopUrl,
  sqlUrl,
  isConnected,
}: {
  shopUrl: string | null;
  sqlUrl: string | null;
  isConnected: boolean;
}) {
  return (
    <section className="card empty" aria-labelledby="empty-title">
      <svg viewBox="0 0 320 90" aria-hidden="true">
        <path d="M0 34h320" />
        <path d="M0 56c20-12 40-12 60 0s40 12 60 0 40-12 60 0 40 12 60 0 40-12 60 0 20 8 20 8" />
        <path d="M0 76c20-12 40-12 60 0s40 12 60 0 40-12 60 0 40 12 60 0 40-12 60 0 20 8 20 8" />
      </svg>
      <h2 id="empty-title">{isConnected ? "Quiet water: no events yet" : "Waiting for the server"}</h2>
      {shopUrl === null ? (
        <p>
          Put the tag of <code>npx polder init</code> on a page, open it and say yes to the banner. Events appear here
          within two seconds.
        </p>
      ) : (
        <>
          <ol>
            <li>Open the demo shop beside this page.</li>
            <li>Say yes to its banner (or no, and see that nothing happens).</li>
            <li>Look at a bouquet: it appears here within two seconds.</li>
          </ol>
          <a className="action" href={shopUrl} target="_blank" rel="noreferrer">
            Open the demo shop
          </a>
        </>
      )}
      {sqlUrl !== null && <p className="aside">Every event is in SQL as well, at {sqlUrl}.</p>}
    </section>
  );
}
