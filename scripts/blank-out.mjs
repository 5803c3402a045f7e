// @ts-check

/**
 * The source with comments, and the insides of strings, templates and regular expressions, as spaces: what is left is code, on the
 * same lines. Code inside `${}` stays.
 * @param {string} source
 */
export function blankOut(source) {
  let code = "";
  let at = 0;
  /** Brace depth inside each open `${`. @type {number[]} */
  const templates = [];

  const blankTo = (/** @type {number} */ end) => {
    code += source.slice(at, end).replaceAll(/[^\n]/g, " ");
    at = end;
  };
  const keep = (length = 1) => {
    code += source.slice(at, at + length);
    at += length;
  };
  const templateText = () => {
    let end = at;
    while (end < source.length && source[end] !== "`" && !source.startsWith("${", end))
      end += source[end] === "\\" ? 2 : 1;
    blankTo(Math.min(end, source.length));
    if (source[at] === "`") keep();
    else if (at < source.length) {
      templates.push(0);
      keep(2);
    }
  };

  while (at < source.length) {
    const char = source[at] ?? "";
    if (source.startsWith("//", at)) {
      const end = source.indexOf("\n", at);
      blankTo(end < 0 ? source.length : end);
    } else if (source.startsWith("/*", at)) {
      const end = source.indexOf("*/", at + 2);
      blankTo(end < 0 ? source.length : end + 2);
    } else if (char === '"' || char === "'") {
      keep();
      blankTo(endOfQuoted(source, at, char));
      keep();
    } else if (char === "`") {
      keep();
      templateText();
    } else if (char === "/" && startsRegExp(code)) {
      keep();
      blankTo(endOfRegExp(source, at));
      keep();
    } else if (char === "}" && templates.at(-1) === 0) {
      templates.pop();
      keep();
      templateText();
    } else {
      const depth = templates.at(-1);
      if (depth !== undefined && char === "{") templates[templates.length - 1] = depth + 1;
      if (depth !== undefined && char === "}") templates[templates.length - 1] = depth - 1;
      keep();
    }
  }
  return code;
}

/** @param {string} source @param {number} from @param {string} quote */
function endOfQuoted(source, from, quote) {
  let end = from;
  while (end < source.length && source[end] !== quote && source[end] !== "\n") end += source[end] === "\\" ? 2 : 1;
  return Math.min(end, source.length);
}

/** @param {string} source @param {number} from */
function endOfRegExp(source, from) {
  let isInClass = false;
  let end = from;
  for (; end < source.length && source[end] !== "\n"; end += source[end] === "\\" ? 2 : 1) {
    if (source[end] === "[") isInClass = true;
    else if (source[end] === "]") isInClass = false;
    else if (source[end] === "/" && !isInClass) break;
  }
  return Math.min(end, source.length);
}

// A slash divides after a value and opens an expression elsewhere.
/** @param {string} code what stands before the slash */
function startsRegExp(code) {
  const before = code.trimEnd();
  return (
    before === "" ||
    /(?:[([{}=,:;!&|?+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|yield|await|void|delete))$/.test(before)
  );
}
