import { createContext, type ReactNode, use, useMemo } from "react";
import type { Schemas } from "./schema";
import type { Problems } from "./validate";

type FormState = { schemas: Schemas; problems: Problems };

const FormContext = createContext<FormState>({ schemas: {}, problems: {} });

/** Gives the fields below the schemas that explain them and the problems that they show. */
export function FormProvider({ schemas, problems, children }: FormState & { children: ReactNode }) {
  const state = useMemo(() => ({ schemas, problems }), [schemas, problems]);
  return <FormContext value={state}>{children}</FormContext>;
}

export function useForm(): FormState {
  return use(FormContext);
}
