import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { seriesUntil } from "./live-state.ts";

const height = 132;

/** Events by second of their arrival, three minutes. The number beside it says the same to who cannot see it. */
export function RateChart({ seconds, now }: { seconds: ReadonlyMap<number, number>; now: number }) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const second = Math.floor(now / 1000);
  const [times, counts] = seriesUntil(seconds, now);
  const recent = counts.slice(-10);
  const rate = recent.reduce((sum, count) => sum + count, 0) / recent.length;

  useEffect(() => {
    const element = holder.current!;
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const draw = () => {
      plot.current?.destroy();
      const color = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
      const axis = {
        stroke: color("--muted"),
        grid: { stroke: color("--line"), width: 1 },
        ticks: { show: false },
        font: "11px system-ui",
      };
      plot.current = new uPlot(
        {
          width: Math.max(200, element.clientWidth),
          height,
          legend: { show: false },
          cursor: { show: false },
          padding: [8, 16, 0, 0],
          scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(4, Math.ceil(most * 1.15))] } },
          axes: [
            {
              ...axis,
              grid: { show: false },
              size: 22,
              values: (u, ticks) => ticks.map((tick) => agoLabel(u.data[0].at(-1)! - tick)),
              splits: (_, __, from, to) => [from, from + (to - from) / 3, from + ((to - from) * 2) / 3, to],
            },
            { ...axis, size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], space: 34 },
          ],
          series: [
            {},
            {
              stroke: color("--water"),
              fill: color("--water-soft"),
              width: 1.5,
              paths: uPlot.paths.stepped!({ align: 1 }),
              points: { show: false },
            },
          ],
        },
        [[], []],
        element,
      );
    };
    draw();
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: Math.max(200, element.clientWidth), height }),
    );
    resized.observe(element);
    scheme.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      scheme.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, []);

  useEffect(() => {
    plot.current?.setData([times, counts]);
    // Drawn anew once a second and when something came in, not with every clock tick.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [second, seconds]);

  return (
    <figure className="rate">
      <figcaption>
        Events a second <strong>{rate < 10 ? rate.toFixed(1) : Math.round(rate)}</strong> <span>over ten seconds</span>
      </figcaption>
      <div ref={holder} aria-hidden="true" />
    </figure>
  );
}

const agoLabel = (seconds: number): string =>
  seconds < 1 ? "now" : seconds < 100 ? `−${Math.round(seconds)} s` : `−${Math.round(seconds / 60)} min`;
