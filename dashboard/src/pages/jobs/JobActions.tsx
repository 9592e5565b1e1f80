import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import type { Schemas } from "../../api/client";
import { Button } from "../../parts/Button";
import { ConfirmDialog } from "../../parts/ConfirmDialog";
import { Requires } from "../../parts/Requires";
import { useSay } from "../../parts/ToastProvider";
import { useApi } from "../../session/SessionProvider";
import { links } from "../../urls/links";

type Job = Schemas["JobDocument"];
type Deed = "cancel" | "replay" | "delete";

/** What can be done with a job as it is: cancel it while it waits, replay or delete it once it has failed. */
export function JobActions({ job }: { job: Job }) {
  const [asked, setAsked] = useState<Deed | null>(null);
  const waits = job.status === "queued" || job.status === "retrying";
  const failed = job.status === "failed";
  if (!waits && !failed && asked === null) {
    return null;
  }
  return (
    <Requires role="operator" to={waits ? "cancel this job" : "replay or delete this job"}>
      {waits && (
        <Button kind="danger" onClick={() => setAsked("cancel")}>
          Cancel this job
        </Button>
      )}
      {failed && (
        <>
          <Button kind="primary" onClick={() => setAsked("replay")}>
            Replay
          </Button>
          <Button kind="danger" onClick={() => setAsked("delete")}>
            Delete
          </Button>
        </>
      )}
      {asked !== null && <DeedDialog job={job} deed={asked} onClose={() => setAsked(null)} />}
    </Requires>
  );
}

function DeedDialog({ job, deed, onClose }: { job: Job; deed: Deed; onClose: () => void }) {
  const does = useDeeds(job.id);
  if (deed === "cancel") {
    return (
      <ConfirmDialog title="Cancel this job?" action="Cancel the job" danger onConfirm={does.cancel} onClose={onClose}>
        <p>It is not sent any more. Its caller is told that it was canceled.</p>
      </ConfirmDialog>
    );
  }
  if (deed === "replay") {
    return (
      <ConfirmDialog title="Replay this job?" action="Replay the job" onConfirm={does.replay} onClose={onClose}>
        <p>It waits at the end of its flow again, with all of its attempts, and is sent at the permitted rate.</p>
      </ConfirmDialog>
    );
  }
  return (
    <ConfirmDialog
      title="Delete this job?"
      action="Delete the job"
      danger
      typed="delete"
      onConfirm={does.remove}
      onClose={onClose}
    >
      <p>All that is kept of it is deleted: its request, the last answer and its timeline.</p>
    </ConfirmDialog>
  );
}

/** What the admin API does with one job; after that everything that may show it is asked for again. */
function useDeeds(jobId: string) {
  const api = useApi();
  const say = useSay();
  const queries = useQueryClient();
  const [, navigate] = useLocation();
  const path = { params: { path: { job_id: jobId } } };
  const done = async (text: string) => {
    await queries.invalidateQueries();
    say(text);
  };
  return {
    cancel: async () => {
      await api.DELETE("/v1/jobs/{job_id}", path);
      await done("The job is canceled.");
    },
    replay: async () => {
      await api.POST("/v1/dead-letters/{job_id}/replay", path);
      await done("The job is queued again.");
    },
    remove: async () => {
      await api.DELETE("/v1/dead-letters/{job_id}", path);
      queries.removeQueries({ queryKey: ["job", jobId] });
      navigate(links.deadLetters());
      await done("The job is deleted.");
    },
  };
}
