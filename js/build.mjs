// Bundles each src/widgets/<stem>.tsx into one <stem>.js and one <stem>.css beside the Python package,
// and host/static_page.ts into the script of pages without a kernel.
import { readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const widgets = join(here, "src", "widgets");
const outdir = join(here, "..", "widgets", "steerkit_widgets", "static");
// Every instance of a widget sends its whole bundle to the page.
const budget = 60 * 1024;

const options = {
  entryPoints: readdirSync(widgets)
    .filter((name) => name.endsWith(".tsx"))
    .map((name) => join(widgets, name)),
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  charset: "utf8",
  target: "es2022",
  // Shorter than calls of Preact's JSX runtime, which tsconfig.json names for types and tests.
  tsconfigRaw: {},
  jsx: "transform",
  jsxFactory: "createElement",
  jsxFragment: "Fragment",
  inject: [join(here, "src", "host", "jsx.ts")],
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
};
const page = {
  ...options,
  entryPoints: [join(here, "src", "host", "static_page.ts")],
  format: "iife",
  inject: [],
};

if (process.argv.includes("--watch")) {
  for (const each of [options, page]) {
    const context = await esbuild.context({ ...each, logLevel: "info" });
    await context.watch();
  }
} else {
  const built = [await esbuild.build(options), await esbuild.build(page)];
  const outputs = Object.assign({}, ...built.map(({ metafile }) => metafile.outputs));
  for (const [path, { bytes }] of Object.entries(outputs)) {
    console.log(`${basename(path)}  ${(bytes / 1024).toFixed(1)} KiB`);
    if (bytes > budget) {
      rmSync(path);
      console.error(`${basename(path)} is ${bytes} bytes; at most ${budget} are allowed.`);
      process.exitCode = 1;
    }
  }
}
