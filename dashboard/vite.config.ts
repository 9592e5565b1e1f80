import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Addresses of the files are relative, so that the same build works below any path of a reverse proxy.
export default defineConfig({
  base: "./",
  plugins: [react()],
  build: {
    outDir: "../app/admin/dashboard/built",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    sourcemap: false,
    target: "es2023",
    modulePreload: { polyfill: false },
  },
  // `npm run dev` beside a running admin process.
  server: {
    proxy: {
      "/v1": "http://127.0.0.1:8081",
      "/docs": "http://127.0.0.1:8081",
      "/openapi.json": "http://127.0.0.1:8081",
    },
  },
  // One environment for all files: a new one for each takes ten times as long as the tests.
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    pool: "threads",
    isolate: false,
    setupFiles: ["src/test.setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
