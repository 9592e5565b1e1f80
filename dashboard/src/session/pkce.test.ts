import { expect, test } from "vitest";
import { challengeOf, randomText } from "./pkce";

test("the challenge is that of RFC 7636, appendix B", async () => {
  const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  expect(await challengeOf(verifier)).toBe("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
});

test("verifiers are long enough, of the characters that are permitted, and never the same", () => {
  const verifiers = Array.from({ length: 50 }, randomText);
  expect(verifiers.every((one) => /^[A-Za-z0-9._~-]{43,128}$/.test(one))).toBe(true);
  expect(new Set(verifiers).size).toBe(50);
});
