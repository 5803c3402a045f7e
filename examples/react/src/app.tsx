import { Link, Route, Routes } from "react-router";
import { Account } from "./account.tsx";
import { ConsentBanner } from "./consent-banner.tsx";
import { polder } from "./polder.ts";

// No page view is sent from here: Polder sees the address change, and reads the title when it sends.
export const App = () => (
  <>
    <nav>
      <Link to="/">Home</Link> <Link to="/bulbs">Bulbs</Link> <Link to="/account">Account</Link>
    </nav>
    <Routes>
      <Route path="/" element={<Home />} />
      <Route path="/bulbs" element={<Bulbs />} />
      <Route path="/account" element={<Account />} />
    </Routes>
    <ConsentBanner />
  </>
);

const Home = () => (
  <main>
    <title>Home</title>
    <h1>Bulbs for heavy clay</h1>
  </main>
);

const Bulbs = () => (
  <main>
    <title>Bulbs</title>
    <h1>Bulbs</h1>
    <button
      type="button"
      onClick={() => polder.track("Product Added", { product_id: "tulip-25", price: 12.5, currency: "EUR" })}
    >
      Add 25 tulips
    </button>
  </main>
);
