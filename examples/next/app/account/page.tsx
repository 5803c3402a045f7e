import type { Metadata } from "next";
import { LogIn } from "./log-in.tsx";

export const metadata: Metadata = { title: "Account" };

export default function Account() {
  return (
    <>
      <h1>Account</h1>
      <LogIn />
    </>
  );
}
