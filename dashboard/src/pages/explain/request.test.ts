import { expect, test } from "vitest";
import { filtersOf, isAsked, requestOf, typedOf } from "./request";

const NOTHING = { user: "", ip: "", claims: "", method: "", path: "", headers: "" };

test("what is left empty has the values that edges would see", () => {
  expect(requestOf(NOTHING)).toEqual({
    user: null,
    ip: "127.0.0.1",
    claims: {},
    method: "GET",
    path: "/",
    headers: {},
  });
});

test("claims and headers are read line by line, and their values stay as they were typed", () => {
  const typed = {
    ...NOTHING,
    user: " alice ",
    claims: "plan: gold\n\n tenant=12345678901234567890 \nurl: https://a/b=c",
    headers: "X-Cost: 5",
  };
  const request = requestOf(typed);
  expect(request.user).toBe("alice");
  expect(request.claims).toEqual({ plan: "gold", tenant: "12345678901234567890", url: "https://a/b=c" });
  expect(request.headers).toEqual({ "X-Cost": "5" });
});

test.each([
  ["the network by which an address is counted", "2001:db8::/64", "2001:db8::"],
  ["an address", "192.0.2.1", "192.0.2.1"],
])("%s is asked about", (_, ip, asked) => {
  expect(requestOf({ ...NOTHING, ip }).ip).toBe(asked);
});

test.each([
  ["a line without a value", { ...NOTHING, user: "u", claims: "gold" }, /Claims: “gold”/],
  ["a header without a name", { ...NOTHING, headers: ": 5" }, /Headers: “: 5”/],
  ["claims without a caller", { ...NOTHING, claims: "plan: gold" }, /without a token/],
])("%s is refused with what to do", (_, typed, message) => {
  expect(() => requestOf(typed)).toThrow(message);
});

test("the address has everything but headers, which may be credentials", () => {
  const typed = { ...NOTHING, user: "u", path: "/x", headers: "X-Api-Key: secret" };
  const filters = filtersOf(typed);
  expect(Object.values(filters).join()).not.toContain("secret");
  expect(typedOf(filters)).toEqual({ ...typed, headers: "" });
  expect([isAsked(filters), isAsked({}), isAsked({ other: "x" })]).toEqual([true, false, false]);
});
