// Bundles the scripts and styles of pages: `npm run build` writes page.js, live.js, studio.js,
// widget.js and page.css, live.css into ../built.
import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";

const out = new URL("../built/", import.meta.url);
const options = {
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  target: ["chrome100", "firefox100", "safari15"],
  absWorkingDir: new URL(".", import.meta.url).pathname,
};

/** The licence of every package that went into the bundle, each text once. */
async function licences(metafile) {
  const packages = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const found = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (found) packages.add(found[1]);
  }
  const named = new Map();
  for (const name of [...packages].sort()) {
    const folder = new URL(`node_modules/${name}/`, import.meta.url);
    const { version } = JSON.parse(await readFile(new URL("package.json", folder), "utf8"));
    const text = (await readFile(new URL("LICENSE", folder), "utf8")).trim();
    named.set(text, [...(named.get(text) ?? []), `${name} ${version}`]);
  }
  return [...named].map(([text, names]) => `${names.join(", ")}\n\n${text}`).join("\n\n");
}

/** Writes `name.js` and `name.css` of an entry point and a style; the style may be another's. */
async function bundled(name, styled, format = "iife") {
  const script = await build({ ...options, entryPoints: [`${name}.js`], format });
  const notice = await licences(script.metafile);
  const texts = { [`${name}.js`]: `/*!\nThis script holds parts of:\n\n${notice}\n*/\n${script.outputFiles[0].text}` };
  if (styled) {
    const style = await build({ ...options, entryPoints: [`${name === "main" ? "page" : name}.css`] });
    texts[`${name}.css`] = style.outputFiles[0].text;
  }
  for (const [file, text] of Object.entries(texts)) {
    if (/<\/(script|style)|<!--|\r/i.test(text)) {
      throw new Error("the bundle holds what would end its element in a page");
    }
    const written = file.replace("main.", "page.");
    await writeFile(new URL(written, out), text);
    console.log(`${written} ${(text.length / 1024).toFixed(1)} KiB`);
  }
}

await mkdir(out, { recursive: true });
await bundled("main", true);
await bundled("live", true);
await bundled("studio", false);
await bundled("widget", false, "esm"); // a module, as notebooks import it
