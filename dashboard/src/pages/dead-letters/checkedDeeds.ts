import { type Api, bodyOf } from "../../api/client";
import { ApiProblem } from "../../api/problem";

/** What has become of the dead letters that were checked: how many were done, and why the others were not, by id. */
export type Outcome = { done: number; problems: Readonly<Record<string, string>> };

/** Queue these jobs again. */
export async function replayChecked(api: Api, ids: readonly string[]): Promise<Outcome> {
  const { replayed, problems } = await bodyOf(
    api.POST("/v1/dead-letters/replay", { body: { ids: [...ids], rule_id: null, after: null } }),
  );
  return { done: replayed, problems };
}

/** Delete these dead letters, one after the other. Rejects where the admin API or its stores cannot be reached. */
export async function deleteChecked(api: Api, ids: readonly string[]): Promise<Outcome> {
  const problems: Record<string, string> = {};
  for (const id of ids) {
    try {
      await api.DELETE("/v1/dead-letters/{job_id}", { params: { path: { job_id: id } } });
    } catch (error) {
      if (!(error instanceof ApiProblem) || ![404, 409].includes(error.status)) {
        throw error;
      }
      problems[id] = error.message;
    }
  }
  return { done: ids.length - Object.keys(problems).length, problems };
}
