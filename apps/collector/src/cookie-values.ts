/** Values of a name in a Cookie header, in its order: one name can be there for several paths and domains. */
export const cookieValues = (header = "", name: string): string[] =>
  header
    .split(";")
    .map((part) => part.trim())
    .filter((part) => part.startsWith(`${name}=`))
    .map((part) => part.slice(name.length + 1));
