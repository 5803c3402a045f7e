import type { NextConfig } from "next";

const config: NextConfig = {
  distDir: "dist",
  // This folder, not a lock file further up, is the root.
  turbopack: { root: import.meta.dirname },
};

export default config;
