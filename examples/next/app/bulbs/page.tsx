import type { Metadata } from "next";
import { AddButton } from "./add-button.tsx";

export const metadata: Metadata = { title: "Bulbs" };

export default function Bulbs() {
  return (
    <>
      <h1>Bulbs</h1>
      <AddButton />
    </>
  );
}
