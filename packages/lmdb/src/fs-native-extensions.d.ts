declare module "fs-native-extensions" {
  /** False while another descriptor holds a lock that excludes this one. An exclusive lock needs a writable file, a shared one a readable file. */
  export function tryLock(fd: number, options?: { shared?: boolean }): boolean;
  export function unlock(fd: number): void;
}
