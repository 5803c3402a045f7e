import { createRoot } from "react-dom/client";
import type { PageConfig } from "../schemas.ts";
import { App } from "./app.tsx";

const config = JSON.parse(document.getElementById("config")?.textContent ?? "{}") as PageConfig;
createRoot(document.getElementById("app")!).render(<App config={config} />);
