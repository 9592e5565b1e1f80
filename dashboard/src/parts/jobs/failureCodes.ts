type Failure = {
  /** What happened, to be read after a colon. */
  words: string;
  /** What an operator does about it, where there is something to do. */
  remedy?: string;
};

const FAILURES: Readonly<Record<string, Failure>> = {
  attempts_exhausted: {
    words: "the last attempt failed",
    remedy:
      "Look at the attempts and the last answer, mend the cause, and replay the job. Delete it if the request itself is at fault.",
  },
  expired: {
    words: "it waited too long",
    remedy:
      "It was not sent, because the max_wait_seconds of its rule had passed. A replay gives it a new deadline. A higher drain rate lets jobs wait less.",
  },
  rule_deleted: {
    words: "its rule is gone",
    remedy: "It was not sent. Write the rule again, or enable it, and then replay the job.",
  },
  upstream_unavailable: { words: "the app server was busy" },
  upstream_error: { words: "the app server failed" },
  upstream_cut: { words: "the connection broke off before the answer was whole" },
  upstream_timeout: { words: "the app server did not answer in time" },
  worker_stopped: { words: "its worker was told to stop" },
  worker_gone: { words: "its worker vanished" },
  rule_not_in_force: {
    words: "the rule is deleted or disabled",
    remedy: "Write the rule again, or enable it, and replay those jobs.",
  },
  request_lost: { words: "the request is no longer stored", remedy: "These jobs can only be deleted." },
};

/** What an error code means, in words; the code itself where it is not known here. */
export function failureOf(code: string): Failure {
  return FAILURES[code] ?? { words: code };
}

/** The codes with which a job can fail, for filters. */
export const FAILURE_CODES = ["attempts_exhausted", "expired", "rule_deleted"] as const;
