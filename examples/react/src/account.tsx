import { useState } from "react";
import { polder } from "./polder.ts";

export const Account = () => {
  const [isLoggedIn, setLoggedIn] = useState(false);
  const logIn = (): void => {
    polder.identify("customer-7", { plan: "garden" });
    setLoggedIn(true);
  };
  const logOut = (): void => {
    // Whoever uses this browser next is someone else.
    polder.reset();
    setLoggedIn(false);
  };
  return (
    <main>
      <title>Account</title>
      <h1>Account</h1>
      {isLoggedIn ? (
        <button type="button" onClick={logOut}>
          Log out
        </button>
      ) : (
        <button type="button" onClick={logIn}>
          Log in
        </button>
      )}
    </main>
  );
};
