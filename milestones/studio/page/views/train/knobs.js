// One setting by its JSON schema: what it takes in words, its control, and its value from what was typed.
import { h } from "../../dom.js";

/** What a setting takes, as the command line says it: "a whole number from 1", "one of adam, sgd". */
export function describe(schema) {
  if (schema.enum) return `one of ${schema.enum.join(", ")}`;
  if ("const" in schema) return String(schema.const);
  if (schema.anyOf) return schema.anyOf.map(describe).join(" or ");
  if (schema.type === "null") return "none";
  if (schema.type === "array") return `a list, each ${describe(schema.items || {})}`;
  const words = { integer: "a whole number", number: "a number", boolean: "true or false", string: "a text" };
  let text = words[schema.type] || "another value";
  if (schema.minimum != null) text += ` from ${schema.minimum}`;
  else if (schema.exclusiveMinimum != null) text += ` above ${schema.exclusiveMinimum}`;
  if (schema.maximum != null) text += ` to ${schema.maximum}`;
  else if (schema.exclusiveMaximum != null) text += ` below ${schema.exclusiveMaximum}`;
  return schema.maxLength ? `${text} of at most ${schema.maxLength} letters` : text;
}

/** {value} of a text, or {wrong: one line}. */
export function read(schema, text) {
  const wrong = { wrong: `Expected ${describe(schema)}, got ${text.trim() ? `“${text.trim().slice(0, 40)}”` : "nothing"}.` };
  if (schema.anyOf) {
    const found = schema.anyOf.map((one) => read(one, text)).find((one) => !one.wrong);
    return found || wrong;
  }
  const word = text.trim();
  if (schema.type === "null") return word === "" || word === "none" ? { value: null } : wrong;
  if (schema.enum) return schema.enum.some((one) => String(one) === word) ? { value: schema.enum.find((one) => String(one) === word) } : wrong;
  if (schema.type === "boolean") return word === "true" || word === "false" ? { value: word === "true" } : wrong;
  if (schema.type === "array") {
    const values = [];
    for (const part of word.split(/[\s,]+/).filter(Boolean)) {
      const one = read(schema.items || {}, part);
      if (one.wrong) return wrong;
      values.push(one.value);
    }
    const [least, most] = [schema.minItems ?? 0, schema.maxItems ?? Infinity];
    if (values.length < least || values.length > most) {
      return { wrong: `Expected ${least === most ? least : most < Infinity ? `${least} to ${most}` : `at least ${least}`} values, got ${values.length}.` };
    }
    return { value: values };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const shape = schema.type === "integer" ? /^[+-]?\d{1,18}$/ : /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i;
    const value = Number(word);
    const { minimum: low = -Infinity, maximum: high = Infinity, exclusiveMinimum: above = -Infinity, exclusiveMaximum: below = Infinity } = schema;
    return shape.test(word) && Number.isFinite(value) && value >= low && value <= high && (value > above || above === -Infinity)
      && (value < below || below === Infinity) ? { value } : wrong;
  }
  if (schema.maxLength && text.length > schema.maxLength) return { wrong: `Expected ${describe(schema)}, got ${text.length}.` };
  return { value: text };
}

/** The text of a value, as the field shows it. */
export function write(value) {
  if (value == null) return "";
  return Array.isArray(value) ? value.join(" ") : String(value);
}

/** The control of a setting: {node, get(), set(text)}; `oninput` is called with each change. */
export function control(schema, oninput) {
  if (schema.enum || schema.type === "boolean") {
    const options = schema.enum || [true, false];
    const node = h("select", { onchange: oninput }, options.map((one) => h("option", { value: String(one) }, schema.enum ? String(one) : one ? "yes" : "no")));
    return { node, get: () => node.value, set: (text) => { node.value = text; } };
  }
  const kind = schema.type || schema.anyOf?.[0]?.type;
  const node = h("input", {
    type: "text", autocomplete: "off", spellcheck: false, oninput,
    inputMode: kind === "integer" ? "numeric" : kind === "number" ? "decimal" : "text",
    placeholder: schema.anyOf?.some((one) => one.type === "null") ? "none" : "",
  });
  return { node, get: () => node.value, set: (text) => { node.value = text; } };
}

/** A word of a command line, quoted for a shell where it needs it. */
export function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
