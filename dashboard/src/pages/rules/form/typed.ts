import { useState } from "react";
import { exactInteger, parseJson, sameJson, writeJson } from "../../../api/json";

/** How a value is written in a text control, and how it is read from there. */
export type Notation = { write: (value: unknown) => string; read: (text: string) => unknown };

/** A number. What is not one stays text, so that it can be typed on and is told to be wrong. */
export const NUMBER: Notation = {
  write: (value) => (value === undefined || value === null ? "" : String(value)),
  read: (text) => {
    const trimmed = text.trim();
    if (trimmed === "") {
      return undefined;
    }
    if (/^-?\d+$/.test(trimmed)) {
      return exactInteger(trimmed);
    }
    return /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : text;
  },
};

export const TEXT: Notation = {
  write: (value) => (typeof value === "string" ? value : value === undefined || value === null ? "" : writeJson(value)),
  read: (text) => (text === "" ? undefined : text),
};

/** A list of words, separated by commas or spaces. */
export const WORDS: Notation = {
  write: (value) => (Array.isArray(value) ? value.join(", ") : TEXT.write(value)),
  read: (text) => {
    const words = text.split(/[\s,]+/).filter((word) => word !== "");
    return words.length === 0 ? undefined : words;
  },
};

/** Any value as JSON, without loss. What is not JSON stays text. */
export const JSON_VALUE: Notation = {
  write: (value) => (typeof value === "string" ? value : value === undefined ? "" : writeJson(value, true)),
  read: (text) => {
    try {
      return text.trim() === "" ? undefined : parseJson(text);
    } catch {
      return text;
    }
  },
};

/** The text of a control: what is being typed, until the value becomes another one than that. */
export function useTyped(
  { write, read }: Notation,
  value: unknown,
  onChange: (value: unknown) => void,
): [string, (text: string) => void] {
  const [text, setText] = useState(() => write(value));
  if (!sameJson(read(text) ?? null, value ?? null)) {
    setText(write(value));
  }
  const type = (typed: string) => {
    setText(typed);
    onChange(read(typed));
  };
  return [text, type];
}
