import { LogUnavailableError } from "@polder/core";

/** What `work` comes to; a {@link LogUnavailableError} when that takes longer than a client is to wait. The work itself goes on. */
export function within<T>(ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new LogUnavailableError(`The log did not confirm within ${ms} ms.`));
    const timer = setTimeout(late, ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
