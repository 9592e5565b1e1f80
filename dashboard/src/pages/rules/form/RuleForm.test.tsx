import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { ApiProblem } from "../../../api/problem";
import { SessionProvider } from "../../../session/SessionProvider";
import type { Fields } from "../rule";
import { RuleForm } from "./RuleForm";
import type { Schema, Schemas } from "./schema";

const RULE: Schema = {
  type: "object",
  required: ["key_type"],
  additionalProperties: false,
  properties: {
    key_type: { type: "string", description: "Who is counted." },
    key_value: { type: "string" },
    secret: { type: "boolean", default: false },
    limit: { anyOf: [{ type: "integer", minimum: 1 }, { type: "null" }], description: "Units per `window`." },
    window_seconds: { type: "number", minimum: 0.001 },
    action: { type: "string", enum: ["limit", "block"], default: "limit" },
    match: { default: {}, type: "object", properties: { claims: { type: "object" } } },
    limits: {
      type: "array",
      items: { type: "object", required: ["limit"], properties: { limit: { type: "integer" } } },
    },
    priority: { type: "integer", default: 0 },
  },
};
const SCHEMAS: Schemas = { RuleFieldsWithoutId: RULE };

type OnSave = (fields: Fields) => Promise<unknown>;

function Editor({ fields, onSave }: { fields: Fields; onSave: OnSave }) {
  const [draft, setDraft] = useState(fields);
  return <RuleForm schemas={SCHEMAS} draft={draft} onChange={setDraft} ruleId="a" onSave={onSave} cancel={null} />;
}

function show(fields: Fields, onSave: OnSave = async () => undefined) {
  return render(
    <QueryClientProvider client={new QueryClient()}>
      <SessionProvider>
        <Editor fields={fields} onSave={onSave} />
      </SessionProvider>
    </QueryClientProvider>,
  );
}

const field = (name: string) => screen.getByRole("textbox", { name, hidden: true }) as HTMLInputElement;
const type = (name: string, value: string) => fireEvent.change(field(name), { target: { value } });
const save = () => fireEvent.click(screen.getByRole("button", { name: "Save" }));

afterEach(cleanup);

test("what is typed is sent, and what is emptied is left out", async () => {
  const onSave = vi.fn(async () => undefined);
  show({ key_type: "user", key_value: "*", limit: 5, window_seconds: 60, priority: 3 }, onSave);
  type("Limit", "7");
  type("Window (seconds)", "1.05");
  type("Priority", "");
  save();
  await waitFor(() =>
    expect(onSave).toHaveBeenCalledWith({ key_type: "user", key_value: "*", limit: 7, window_seconds: 1.05 }),
  );
});

test("a number that is being typed stays as it is typed", () => {
  show({ key_type: "user" });
  for (const text of ["1", "1.", "1.0", "1.05"]) {
    type("Window (seconds)", text);
    expect(field("Window (seconds)").value).toBe(text);
  }
});

test("what the schema refuses is said at its field, which gets the focus, and nothing is sent", async () => {
  const onSave = vi.fn(async () => undefined);
  show({ key_type: "user", limit: 5 }, onSave);
  type("Limit", "5x");
  save();
  await waitFor(() => expect(document.activeElement).toBe(field("Limit")));
  expect(screen.getByText("Limit: must be a whole number.")).toBeTruthy();
  expect(onSave).not.toHaveBeenCalled();
});

test("what the server refuses is said at its field", async () => {
  show({ key_type: "user" }, async () => {
    throw new ApiProblem(422, { title: "Unprocessable", detail: "limit: required with action 'limit'" });
  });
  save();
  await screen.findByText("Limit: required with action 'limit'.");
  expect(field("Limit").getAttribute("aria-invalid")).toBe("true");
});

test("an integer of 64 bits comes back as it was, as a form and as JSON", async () => {
  const onSave = vi.fn(async () => undefined);
  const claims = { tenant: 9007199254740993n };
  show({ key_type: "user", match: { claims } }, onSave);
  fireEvent.click(screen.getByLabelText("As JSON"));
  const text = screen.getByLabelText("The rule as JSON") as HTMLTextAreaElement;
  expect(text.value).toContain('"tenant": 9007199254740993\n');
  fireEvent.change(text, { target: { value: text.value.replace("993", "995") } });
  fireEvent.click(screen.getByLabelText("As a form"));
  save();
  await waitFor(() =>
    expect(onSave).toHaveBeenCalledWith({ key_type: "user", match: { claims: { tenant: 9007199254740995n } } }),
  );
});

test("JSON that is wrong is not sent, and says where", () => {
  show({ key_type: "user" });
  fireEvent.click(screen.getByLabelText("As JSON"));
  fireEvent.change(screen.getByLabelText("The rule as JSON"), { target: { value: '{"limit": 1, "limit": 2}' } });
  expect(screen.getByText('The name "limit" is given twice.')).toBeTruthy();
  expect((screen.getByRole("button", { name: "Save" }) as HTMLButtonElement).disabled).toBe(true);
});

test("neither the value of a secret nor its hash is shown", () => {
  const hash = `hmac-sha256:${"0a".repeat(32)}`;
  const { container } = show({ key_type: "header:x-key", key_value: hash, secret: true });
  const value = screen.getByLabelText("Value") as HTMLInputElement;
  expect([value.type, value.value, value.placeholder]).toEqual(["password", "", "stored; type to replace it"]);
  expect(container.innerHTML).not.toContain(hash);
});

test("entries of a list are added and removed", async () => {
  const onSave = vi.fn(async () => undefined);
  show({ key_type: "user" }, onSave);
  const add = screen.getByRole("button", { name: "Add to limits", hidden: true });
  fireEvent.click(add);
  fireEvent.click(add);
  fireEvent.click(screen.getByRole("button", { name: "Remove limits 1", hidden: true }));
  expect(document.activeElement).toBe(add);
  save();
  await screen.findByText("1 field needs attention, so nothing is saved.");
  expect(onSave).not.toHaveBeenCalled();
});

test("what a rule that blocks has none of is not offered", () => {
  show({ key_type: "user", action: "block", limits: [{ limit: 1 }] });
  expect(screen.queryByText("More limits")).toBeNull();
});
