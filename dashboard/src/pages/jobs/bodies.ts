/** How many characters of a body are shown at first. */
export const SHOWN_CHARACTERS = 100_000;

/** A body as the API shows it: base64, and where it is text also that. */
export type StoredBody = {
  body: string | null;
  body_text: string | null;
  headers: readonly (readonly [string, string])[];
};

export type ShownBody =
  | { kind: "none" }
  | { kind: "too large" }
  | { kind: "text" | "binary"; text: string; bytes: number; mediaType: string };

/** What of a body is shown: its text, or where it is none its base64. */
export function shownBody({ body, body_text, headers }: StoredBody): ShownBody {
  if (body === null) {
    return { kind: "too large" };
  }
  const bytes = bytesOfBase64(body);
  if (bytes === 0) {
    return { kind: "none" };
  }
  const kind = body_text === null ? "binary" : "text";
  return { kind, text: body_text ?? body, bytes, mediaType: headerValue(headers, "content-type") };
}

/** How many bytes a text in base64 stands for. */
export function bytesOfBase64(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return (text.length / 4) * 3 - padding;
}

/** The first value of a header, in any case of its name; '' where it is missing. */
export function headerValue(headers: StoredBody["headers"], name: string): string {
  return headers.find(([one]) => one.toLowerCase() === name)?.[1] ?? "";
}
