// Bundles each src/widgets/<stem>.tsx into one <stem>.js and one <stem>.css beside the Python package.
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
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
};

if (process.argv.includes("--watch")) {
  const context = await esbuild.context({ ...options, logLevel: "info" });
  await context.watch();
} else {
  const { outputs } = (await esbuild.build(options)).metafile;
  for (const [path, { bytes }] of Object.entries(outputs)) {
    console.log(`${basename(path)}  ${(bytes / 1024).toFixed(1)} KiB`);
    if (bytes > budget) {
      rmSync(path);
      console.error(`${basename(path)} is ${bytes} bytes; at most ${budget} are allowed.`);
      process.exitCode = 1;
    }
  }
}
