import { expect, test } from "vitest";
import { bytesOfBase64, headerValue, shownBody } from "./bodies";

test.each([0, 1, 2, 3, 4, 100])("the size of %i bytes is told from their base64", (bytes) => {
  expect(bytesOfBase64(btoa("x".repeat(bytes)))).toBe(bytes);
});

test("a text is shown as text, with the size that it has in bytes", () => {
  const body = { body: btoa("\u00c3\u00bc"), body_text: "ü", headers: [["Content-Type", "text/plain"]] as const };
  expect(shownBody(body)).toEqual({ kind: "text", text: "ü", bytes: 2, mediaType: "text/plain" });
});

test("what is no text is shown in base64", () => {
  expect(shownBody({ body: "AAE=", body_text: null, headers: [] })).toEqual({
    kind: "binary",
    text: "AAE=",
    bytes: 2,
    mediaType: "",
  });
});

test("a body that is empty, and one that was too large to keep, are told apart", () => {
  expect(shownBody({ body: "", body_text: "", headers: [] })).toEqual({ kind: "none" });
  expect(shownBody({ body: null, body_text: null, headers: [] })).toEqual({ kind: "too large" });
});

test("a header is found in any case", () => {
  expect(headerValue([["content-TYPE", "a/b"]], "content-type")).toBe("a/b");
  expect(headerValue([], "content-type")).toBe("");
});
