import { Component, type ReactNode } from "react";
import { messageOf } from "../api/problem";
import { Button } from "../parts/Button";
import { Notice } from "../parts/Notice";

type Props = { what: string; children: ReactNode };

/** Keeps a mistake in one part from taking the others away: says which part cannot be shown, and what to do. */
export class ErrorBoundary extends Component<Props, { error: unknown }> {
  override state = { error: null };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === null) {
      return this.props.children;
    }
    return (
      <Notice tone="bad" title={`${this.props.what} cannot be shown.`}>
        <p>
          This is a mistake in the dashboard ({messageOf(error)}). Nothing was changed by it. The other pages, the REST
          API and the commands go on.
        </p>
        <Button onClick={() => this.setState({ error: null })}>Try again</Button>
      </Notice>
    );
  }
}
