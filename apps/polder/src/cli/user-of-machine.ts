import { userInfo } from "node:os";

/** Who acts where nobody says so with --actor: the user of this machine. */
export function userOfMachine(): string {
  try {
    return userInfo().username;
  } catch {
    return "unknown"; // a container may run as a user without a name
  }
}
