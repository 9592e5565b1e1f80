import type { Fields } from "../rule";

/** One part of a key: `claim` with the name `tenant`, and the value that is counted; `*`: each value by itself. */
export type KeyPart = { family: string; name: string; value: string };

export const FAMILIES: readonly (readonly [string, string])[] = [
  ["user", "user (the token's sub)"],
  ["ip", "ip (the client address)"],
  ["claim", "claim of the token"],
  ["header", "header of the request"],
  ["default", "default (where no other rule applies)"],
];

/** The parts of a draft's key. */
export function partsOfKey({ key_type, key_value }: Fields): readonly KeyPart[] {
  const types = Array.isArray(key_type) ? key_type : [key_type ?? "user"];
  const values = Array.isArray(key_value) ? key_value : [key_value];
  return types.map((type, at) => {
    const [family = "", ...name] = String(type).split(":");
    return {
      family,
      name: name.join(":"),
      value: values[at] === undefined || values[at] === null ? "" : String(values[at]),
    };
  });
}

/** The fields of a draft that name its key. */
export function fieldsOfKey(parts: readonly KeyPart[]): Fields {
  const types = parts.map(({ family, name }) => (hasName(family) ? `${family}:${name}` : family));
  const values = parts.map(({ value }) => value);
  const [type] = types;
  if (parts.length > 1) {
    return { key_type: types, key_value: values };
  }
  return { key_type: type, key_value: type === "default" || values[0] === "" ? undefined : values[0] };
}

/** Whether a part needs a name, of the claim or of the header. */
export function hasName(family: string): boolean {
  return family === "claim" || family === "header";
}

/** Whether a value is what the API shows in the place of a secret. */
export function isHash(value: string): boolean {
  return /^hmac-sha256:[0-9a-f]{64}$/.test(value);
}

/** Whether a draft counts by a header, whose value may be a secret. */
export function mayBeSecret(draft: Fields): boolean {
  return draft.secret === true || partsOfKey(draft).some((part) => part.family === "header");
}
