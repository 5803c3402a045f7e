import { raw } from "hono/html";
import type { HtmlEscapedString } from "hono/utils/html";

/** Pictures are decoration: the name stands beside each, so screen readers skip them. */
export const productPicture = (slug: string): HtmlEscapedString => {
  const picture = pictures[slug];
  if (!picture) throw new Error(`no picture for ${slug}`);
  return raw(
    `<svg class="picture" viewBox="0 0 240 240" aria-hidden="true" focusable="false">${ground(picture.sky, picture.land)}${picture.drawing}</svg>`,
  );
};

// Every picture stands in the same place: a flat horizon with a ditch running to it.
const ground = (sky: string, land: string): string =>
  `<rect width="240" height="240" fill="${sky}"/><path d="M0 176H240V240H0Z" fill="${land}"/>` +
  `<path d="M0 196Q60 190 120 196T240 196V204Q180 198 120 204T0 204Z" fill="#fff" opacity=".28"/>` +
  `<path d="M0 220Q60 214 120 220T240 220V225Q180 219 120 225T0 225Z" fill="#fff" opacity=".18"/>`;

const tulip = (x: number, y: number, lean: number, petal: string, shade: string, size = 1): string =>
  `<g transform="translate(${x} ${y}) rotate(${lean}) scale(${size})">` +
  `<path d="M-3 20C-4 60-3 90 0 140H7C4 90 3 60 3 20Z" fill="#4f7a3a"/>` +
  `<path d="M2 128C-28 104-32 72-28 44C-14 66-2 92 4 126Z" fill="#6a9a4b"/><path d="M3 130C26 110 34 84 32 60C18 78 6 100 2 126Z" fill="#5b8a41"/>` +
  `<path d="M-27 -6C-31 -36-20 -54-14 -60C-9 -50-4 -46 0 -64C4 -46 9 -50 14 -60C20 -54 31 -36 27 -6C22 24-22 24-27 -6Z" fill="${petal}"/>` +
  `<path d="M-14 -60C-22 -38-20 0-4 16C-24 18-29 2-27 -6C-31 -36-20 -54-14 -60ZM14 -60C22 -38 20 0 4 16C24 18 29 2 27 -6C31 -36 20 -54 14 -60Z" fill="${shade}"/></g>`;

const narcissus = (x: number, y: number, stem: number, size: number): string => {
  const petals = [0, 60, 120, 180, 240, 300]
    .map(
      (angle) =>
        `<path d="M0 -8C-15 -22-13 -44 0 -52C13 -44 15 -22 0 -8Z" transform="rotate(${angle})" fill="${angle % 120 === 0 ? "#fffaf0" : "#f3e8cf"}"/>`,
    )
    .join("");
  return (
    `<path d="M${x - 3} ${y}C${x - 6} ${y + stem / 2} ${x} ${y + stem * 0.8} ${x} ${y + stem}H${x + 6}C${x + 6} ${y + stem * 0.8} ${x + 2} ${y + stem / 2} ${x + 3} ${y}Z" fill="#4f7a3a"/>` +
    `<g transform="translate(${x} ${y}) scale(${size})">${petals}<circle r="17" fill="#e9a820"/><circle r="11" fill="#c97a12"/><circle r="3.5" fill="#f6d67a"/></g>`
  );
};

const hyacinth = (x: number, top: number, tint: string, shade: string): string => {
  const rows = [1, 2, 3, 3, 4, 4, 4, 3];
  const beads = rows
    .map((count, row) =>
      Array.from({ length: count }, (_, index) => {
        const across = (index - (count - 1) / 2) * 13;
        return `<ellipse cx="${x + across}" cy="${top + row * 12}" rx="7.5" ry="8.5" fill="${(row + index) % 2 ? tint : shade}"/>`;
      }).join(""),
    )
    .join("");
  return `<path d="M${x - 3} ${top + 60}L${x - 2} 206H${x + 4}L${x + 3} ${top + 60}Z" fill="#4f7a3a"/>${beads}`;
};

const blade = (x: number, tip: number, lean: number): string =>
  `<path d="M${x} 208C${x + lean * 0.2} 170 ${x + lean * 0.6} ${tip + 30} ${x + lean} ${tip}C${x + lean * 0.9} ${tip + 40} ${x + lean * 0.6} 176 ${x + 12} 208Z" fill="#6a9a4b"/>`;

const shoe = (x: number, y: number, body: string, shade: string): string =>
  `<g transform="translate(${x} ${y})"><path d="M0 34C-4 10 8 0 26 2C40 4 48 10 66 12C96 14 118 10 128 -10C132 -20 142 -14 142 2C142 30 128 48 100 50H20C6 50 2 44 0 34Z" fill="${body}"/>` +
  `<path d="M2 40C24 46 88 46 120 30C134 22 140 8 141 -4C143 -2 142 2 142 2C142 30 128 48 100 50H20C8 50 4 46 2 40Z" fill="${shade}"/>` +
  `<path d="M10 12C14 2 30 2 42 8C52 12 60 14 66 15C58 24 24 26 10 12Z" fill="#6b4a1e"/>` +
  `<path d="M84 24C92 18 100 18 106 22M90 32C97 27 104 27 110 30" fill="none" stroke="#c8372d" stroke-width="4" stroke-linecap="round"/></g>`;

const pictures: { readonly [slug: string]: { sky: string; land: string; drawing: string } } = {
  "dike-red-tulips": {
    sky: "#f4d9c4",
    land: "#7fa05a",
    drawing:
      tulip(70, 104, -8, "#d8453a", "#b4302a", 0.82) +
      tulip(172, 100, 9, "#d8453a", "#b4302a", 0.86) +
      tulip(120, 84, 0, "#e5533f", "#c13a2e", 1.02),
  },
  "morning-mist-narcissus": {
    sky: "#cfdfd9",
    land: "#86a56b",
    drawing:
      blade(60, 84, -14) +
      blade(160, 74, 26) +
      blade(112, 96, -22) +
      narcissus(76, 110, 96, 0.78) +
      narcissus(168, 104, 102, 0.82) +
      narcissus(122, 72, 134, 1),
  },
  "ditch-blue-hyacinths": {
    sky: "#dfe6ee",
    land: "#6f9a68",
    drawing:
      blade(44, 110, -18) +
      blade(92, 120, 22) +
      blade(140, 116, -16) +
      blade(186, 112, 22) +
      hyacinth(66, 84, "#4c63b6", "#3a4c99") +
      hyacinth(178, 80, "#4c63b6", "#3a4c99") +
      hyacinth(122, 56, "#5b74cc", "#445ab0"),
  },
  "night-barge-tulips": {
    sky: "#5d5478",
    land: "#39514a",
    drawing:
      `<circle cx="190" cy="46" r="19" fill="#f3e3b0"/>` +
      tulip(72, 96, -7, "#4a2347", "#341632", 0.86) +
      tulip(166, 108, 8, "#4a2347", "#341632", 0.78) +
      tulip(118, 82, 1, "#5c2c58", "#41203f", 1.02),
  },
  "sluice-cheese-board": {
    sky: "#e9dcc0",
    land: "#b99b6b",
    drawing:
      `<path d="M40 92H176C190 92 194 98 194 106L206 110C214 112 214 134 206 136L194 140C194 150 190 156 176 156H40C30 156 26 150 26 142V106C26 98 30 92 40 92Z" transform="rotate(-6 120 124)" fill="#9a6b35"/>` +
      `<path d="M36 106C80 100 140 114 188 106M34 122C90 116 120 130 190 122M36 140C84 134 140 148 186 140" transform="rotate(-6 120 124)" fill="none" stroke="#7d5427" stroke-width="3"/>` +
      `<circle cx="204" cy="114" r="5" fill="#e9dcc0"/>` +
      `<path d="M62 118L138 76L162 104L66 136Z" fill="#f4c84d"/><path d="M66 136L162 104V128L70 160Z" fill="#e3ac2f"/><path d="M62 118L66 136L70 160L60 142Z" fill="#c8372d"/>` +
      `<circle cx="92" cy="138" r="5" fill="#c9931f"/><circle cx="122" cy="130" r="7" fill="#c9931f"/><circle cx="146" cy="118" r="4" fill="#c9931f"/><circle cx="118" cy="102" r="5" fill="#e3b23a"/>`,
  },
  "farmhouse-cheese": {
    sky: "#d7e3d0",
    land: "#a88757",
    drawing:
      `<ellipse cx="120" cy="184" rx="92" ry="14" fill="#000" opacity=".14"/><path d="M34 108V152C34 178 206 178 206 152V108Z" fill="#d99a27"/>` +
      `<ellipse cx="120" cy="108" rx="86" ry="34" fill="#f0bd45"/><ellipse cx="120" cy="108" rx="66" ry="25" fill="none" stroke="#d99a27" stroke-width="3"/>` +
      `<path d="M120 108L172 136V170C162 174 150 176 138 177L120 142Z" fill="#fbe39a"/><path d="M120 108L120 142L138 177V144Z" fill="#f3d27a"/>` +
      `<path d="M120 108L172 136C162 140 150 143 138 144Z" fill="#d7e3d0"/><circle cx="156" cy="156" r="4" fill="#e5bd58"/><circle cx="146" cy="164" r="3" fill="#e5bd58"/>` +
      `<path d="M70 100L78 94L86 100V110H70Z" fill="#b9791a"/><path d="M94 96H104V102H94Z" fill="#b9791a"/>`,
  },
  "mill-mug": {
    sky: "#e8e2d3",
    land: "#c3a983",
    drawing:
      `<ellipse cx="112" cy="194" rx="70" ry="12" fill="#000" opacity=".13"/><path d="M160 98C202 90 206 158 156 160V146C186 144 184 108 160 114Z" fill="#f7f4ea"/>` +
      `<path d="M54 70H164L158 180C157 192 61 192 60 180Z" fill="#fffdf6"/><path d="M140 70H164L158 180C157 186 142 189 130 190Z" fill="#e6e0d0"/><ellipse cx="109" cy="70" rx="55" ry="11" fill="#6d4630"/><ellipse cx="109" cy="70" rx="55" ry="11" fill="none" stroke="#fffdf6" stroke-width="5"/>` +
      `<g fill="#2b4a94"><path d="M96 168L101 122H115L120 168Z"/><path d="M99 122C100 112 116 112 117 122Z"/><path d="M105 84H112V120H105ZM105 120H112V156H105Z" opacity=".85"/><path d="M72 116H108V123H72ZM108 116H144V123H108Z" opacity=".85"/><circle cx="108.500" cy="119.500" r="4.500" fill="#fffdf6"/><path d="M74 170H142V173H74Z"/></g>`,
  },
  "syrup-waffle-tin": {
    sky: "#f1dfb6",
    land: "#a77644",
    drawing:
      `<ellipse cx="120" cy="196" rx="76" ry="12" fill="#000" opacity=".14"/><path d="M58 112V176C58 200 182 200 182 176V112Z" fill="#1f5f6b"/><path d="M58 126C58 148 182 148 182 126V150C182 172 58 172 58 150Z" fill="#f6efdc"/>` +
      `<path d="M72 150L84 144M96 155L110 150M124 156L138 152M150 152L164 144" stroke="#c8372d" stroke-width="5" stroke-linecap="round"/>` +
      `<ellipse cx="120" cy="112" rx="62" ry="20" fill="#164954"/><ellipse cx="120" cy="108" rx="54" ry="17" fill="#0f3640"/>` +
      `<g transform="rotate(-14 120 74)"><circle cx="120" cy="72" r="50" fill="#b8752c"/><circle cx="120" cy="72" r="50" fill="none" stroke="#8f5519" stroke-width="5"/><path d="M82 42V102M100 28V116M120 22V122M140 28V116M158 42V102M90 34H150M76 54H164M70 72H170M76 90H164M90 110H150" stroke="#8f5519" stroke-width="3.500"/></g>` +
      `<path d="M66 118C80 136 160 136 174 118L178 124C160 146 80 146 62 124Z" fill="#164954"/>`,
  },
  "wooden-shoes": {
    sky: "#cbe0e6",
    land: "#6d9150",
    drawing: `<ellipse cx="116" cy="196" rx="96" ry="12" fill="#000" opacity=".15"/>${shoe(66, 112, "#e2b23a", "#bf8f22")}${shoe(30, 146, "#f0c44e", "#d0a02f")}`,
  },
  "storm-kite": {
    sky: "#8fb3c4",
    land: "#d8c391",
    drawing:
      `<path d="M12 60C30 44 52 48 60 58C76 46 98 54 98 70H10C2 70 4 62 12 60ZM150 152C166 140 184 142 190 152C204 144 222 152 222 164H146C140 164 142 156 150 152Z" fill="#fff" opacity=".55"/>` +
      `<path d="M96 146C80 170 108 178 92 200C86 210 70 208 66 222" fill="none" stroke="#fdf6e3" stroke-width="3"/>` +
      `<g fill="#e9b93a"><path d="M88 164L74 156V174ZM88 164L102 156V174Z"/><path d="M98 184L84 178V194ZM98 184L112 178V194Z"/><path d="M80 206L66 198V216ZM80 206L94 200V214Z"/></g>` +
      `<g transform="rotate(28 134 82)"><path d="M134 8L188 70L134 160L80 70Z" fill="#c8372d"/><path d="M134 8L188 70H134Z" fill="#e9b93a"/><path d="M134 70H188L134 160Z" fill="#f6efdc"/><path d="M80 70H134V160Z" fill="#14505e"/><path d="M134 8V160M80 70H188" stroke="#5b3a1a" stroke-width="3"/></g>`,
  },
  "rain-cape": {
    sky: "#9fb0b3",
    land: "#4e6b5d",
    drawing:
      `<g stroke="#e8f0f0" stroke-width="3" stroke-linecap="round" opacity=".6"><path d="M30 20L22 44M70 12L62 36M186 18L178 42M216 52L208 76M22 90L14 114M214 116L206 140M46 140L38 164"/></g>` +
      `<path d="M92 66C92 30 148 30 148 66V84H92Z" fill="#d39a22"/><path d="M100 70C100 46 140 46 140 70C140 88 130 94 120 94S100 88 100 70Z" fill="#40302a"/>` +
      `<path d="M98 82C70 92 44 150 36 194C90 206 150 206 204 194C196 150 170 92 142 82C134 96 106 96 98 82Z" fill="#e9b93a"/><path d="M120 94V202C150 202 180 199 204 194C196 150 170 92 142 82C136 92 128 95 120 94Z" fill="#d8a62c"/>` +
      `<path d="M120 100V198" stroke="#a87c16" stroke-width="3"/><g fill="#7b5a10"><circle cx="127" cy="116" r="3.500"/><circle cx="127" cy="142" r="3.500"/><circle cx="127" cy="168" r="3.500"/></g><path d="M62 160L84 152L88 172L64 178Z" fill="#c9941c"/>`,
  },
  "friesland-skates": {
    sky: "#d4e6ee",
    land: "#b7d3df",
    drawing:
      `<path d="M20 206L110 190M130 214L226 200M60 226L150 220" stroke="#fff" stroke-width="3" stroke-linecap="round"/>` +
      `<ellipse cx="124" cy="196" rx="92" ry="8" fill="#4b7184" opacity=".25"/><g transform="translate(0 22)"><path d="M40 170H190C214 170 226 154 222 138C219 128 206 130 206 140C206 152 196 158 182 158H40Z" fill="#6c7880"/><path d="M40 164H190C206 164 214 154 214 146" fill="none" stroke="#a9b5bb" stroke-width="3"/>` +
      `<path d="M36 128C60 122 130 124 186 138C194 142 194 158 184 158H42C32 158 30 132 36 128Z" fill="#c18a4a"/><path d="M34 146C80 146 150 150 190 150C190 156 188 158 184 158H42C36 158 34 152 34 146Z" fill="#9b6a33"/>` +
      `<path d="M62 132C56 96 92 96 88 130M132 134C128 102 166 106 162 138" fill="none" stroke="#a3342b" stroke-width="9"/><path d="M70 104H82V114H70ZM142 108H154V118H142Z" fill="#e9b93a"/></g>`,
  },
};
