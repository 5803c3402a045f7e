import type { Metadata } from "next";
import Link from "next/link";
import type { ReactNode } from "react";
import { ConsentBanner } from "./consent-banner.tsx";

export const metadata: Metadata = { title: "Home" };

// Rendered on the server. No page view is sent from here: Polder sees the address change, and reads the title when it sends.
export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <nav>
          <Link href="/">Home</Link> <Link href="/bulbs">Bulbs</Link> <Link href="/account">Account</Link>
        </nav>
        <main>{children}</main>
        <ConsentBanner />
      </body>
    </html>
  );
}
