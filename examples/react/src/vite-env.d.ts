interface ImportMetaEnv {
  readonly VITE_POLDER_HOST: string;
  readonly VITE_POLDER_KEY: string;
}
