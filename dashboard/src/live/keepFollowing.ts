import { followStatus, type Status } from "./events";

/** How long to wait before connecting again, in milliseconds: at first, and at most once that has failed often. */
const RECONNECT_MS = 1000;
const MAX_RECONNECT_MS = 10_000;

type Follower = {
  /** The first status of a connection has come. */
  onConnected: () => void;
  onStatus: (status: Status) => void;
  onLost: (error: unknown) => void;
};

/** Follow the status until `signal` aborts, and connect again whenever the stream ends. */
export async function keepFollowing(
  token: string,
  { onConnected, onStatus, onLost }: Follower,
  signal: AbortSignal,
): Promise<void> {
  let waitMs = RECONNECT_MS;
  while (!signal.aborted) {
    let isConnected = false;
    const onEvent = (status: Status) => {
      waitMs = RECONNECT_MS;
      onStatus(status);
      if (!isConnected) {
        isConnected = true;
        onConnected();
      }
    };
    try {
      await followStatus(token, onEvent, signal);
    } catch (error) {
      if (signal.aborted) {
        return;
      }
      onLost(error);
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    waitMs = Math.min(waitMs * 2, MAX_RECONNECT_MS);
  }
}
