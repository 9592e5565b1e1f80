import { configure } from "@testing-library/react";

// On a busy machine a component that renders late is none that never does.
configure({ asyncUtilTimeout: 30_000 });
