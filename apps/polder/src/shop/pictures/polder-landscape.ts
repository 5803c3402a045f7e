import { raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";

/** The field strips fan out from one point on the horizon, as reclaimed land is cut. */
const strips = (): string => {
  const colours = ["#c8372d", "#e06a3b", "#e9b93a", "#f3dc8d", "#d9678a", "#8c3b63", "#5d8a3f", "#c8372d", "#e9b93a"];
  const [vanishX, horizon, bottom] = [640, 250, 520];
  const left = -260;
  const width = 200;
  return colours
    .map((colour, index) => {
      const from = left + index * width;
      const to = from + width - 22;
      const topFrom = vanishX + (from - vanishX) * 0.12;
      const topTo = vanishX + (to - vanishX) * 0.12;
      const at = (share: number, x: number, top: number) =>
        `${(top + (x - top) * share).toFixed(1)} ${(horizon + (bottom - horizon) * share).toFixed(1)}`;
      const furrows = [0.25, 0.5, 0.75]
        .map((share) => {
          const x = from + (to - from) * share;
          const top = topFrom + (topTo - topFrom) * share;
          return `<path d="M${at(0.04, x, top)}L${at(1, x, top)}" stroke="#000" stroke-opacity=".12" stroke-width="3"/>`;
        })
        .join("");
      return `<path d="M${at(0, from, topFrom)}L${at(0, to, topTo)}L${at(1, to, topTo)}L${at(1, from, topFrom)}Z" fill="${colour}"/>${furrows}`;
    })
    .join("");
};

const sail = (angle: number): string =>
  `<g transform="rotate(${angle})"><path d="M-2.500 0H2.500V-112H-2.500Z" fill="#4a3424"/><path d="M3 -26H24V-108H3Z" fill="#f6efdc"/><path d="M3 -46H24M3 -67H24M3 -88H24M13 -26V-108" stroke="#b79d74" stroke-width="2"/></g>`;

export const polderLandscape = (): HtmlEscapedString =>
  raw(
    `<svg class="landscape" viewBox="0 0 1280 520" preserveAspectRatio="xMidYMax slice" aria-hidden="true" focusable="false">` +
      `<rect class="sky" width="1280" height="260"/><circle class="sun" cx="690" cy="150" r="46"/>` +
      `<g class="cloud"><path d="M120 116C140 86 184 88 198 110C220 88 268 96 272 128H108C96 126 104 116 120 116Z"/><path d="M520 70C536 48 570 50 580 66C598 50 634 56 636 80H510C500 78 508 70 520 70Z"/></g>` +
      `<path class="far" d="M0 250V238C60 232 90 240 130 236L150 222L170 236C260 230 300 242 380 238V228H392V238C520 232 560 240 640 238C760 232 820 242 900 238L910 214L920 238C1010 232 1100 242 1180 238C1220 236 1260 240 1280 238V250Z"/>` +
      `<rect class="meadow" y="248" width="1280" height="272"/>${strips()}` +
      `<path class="water" d="M640 250L646 250L1280 430V520H1020Z"/><path class="glint" d="M700 274L760 292M820 312L940 352M960 380L1130 440M1080 450L1180 486" />` +
      `<g transform="translate(300 250)"><path d="M-44 54L-26 -74H26L44 54Z" fill="#6b4b33"/><path d="M6 54L10 -74H26L44 54Z" fill="#583c28"/><path d="M-58 54H58V64H-58Z" fill="#8a6a4a"/><path d="M-30 -74C-28 -108 28 -108 30 -74Z" fill="#3d2b1f"/>` +
      `<path d="M-9 54V24C-9 12 9 12 9 24V54Z" fill="#2c1f17"/><rect x="-8" y="-40" width="16" height="18" rx="2" fill="#f3dc8d"/><rect x="-44" y="-2" width="88" height="6" fill="#8a6a4a"/>` +
      `<g transform="translate(0 -84)"><g class="sails">${[20, 110, 200, 290].map(sail).join("")}<circle r="7" fill="#2c1f17"/></g></g></g></svg>`,
  );
