/**
 * What analytics.js asks for before it starts. One integration, itself, so that it loads nothing from elsewhere; its address is ours;
 * and no sampling of its own metrics, which would go to Segment.
 */
export const segmentSettings = (key: string, host: string, isHttps: boolean): object => ({
  integrations: {
    "Segment.io": {
      apiKey: key,
      apiHost: `${host}/v1`,
      protocol: isHttps ? "https" : "http",
      addBundledMetadata: true,
      unbundledIntegrations: [],
      maybeBundledConfigIds: {},
      versionSettings: { version: "4.4.7", componentTypes: ["browser"] },
    },
  },
  plan: {
    track: { __default: { enabled: true, integrations: {} } },
    identify: { __default: { enabled: true } },
    group: { __default: { enabled: true } },
  },
  edgeFunction: {},
  analyticsNextEnabled: true,
  middlewareSettings: {},
  enabledMiddleware: {},
  metrics: { sampleRate: 0 },
  legacyVideoPluginsEnabled: false,
  remotePlugins: [],
});
