import { expect, test } from "vitest";
import { explainedBy } from "./explained";

const FLOW = "per-user|user:%3Cb%3E;per-address|ip:192.0.2.1";

test("without contents the caller is told from the descriptors", () => {
  const job = { descriptor: "user:%3Cb%3E", flow: FLOW };
  expect(explainedBy(job, null)).toEqual({ user: "<b>", ip: "192.0.2.1", method: "", path: "" });
});

test("a request tells the caller, the method and the path without its query", () => {
  const request = { caller: { issuer: "i", subject: "alice" }, method: "POST", target: "/a?b=/c#d" };
  const job = { descriptor: "claim%3Atenant:acme", flow: "plan|claim:acme>user:alice" };
  expect(explainedBy(job, request)).toEqual({ user: "alice", ip: "", method: "POST", path: "/a" });
});

test("a descriptor that is not well escaped names nobody", () => {
  expect(explainedBy({ descriptor: "user:%", flow: "a|user:%" }, null).user).toBe("");
});
