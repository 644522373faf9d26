// Bundles the page's script and style: `npm run build` writes ../built/page.js and ../built/page.css.
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

const script = await build({ ...options, entryPoints: ["main.js"], format: "iife" });
const style = await build({ ...options, entryPoints: ["page.css"] });
const notice = await licences(script.metafile);
const js = `/*!\nThis script holds parts of:\n\n${notice}\n*/\n${script.outputFiles[0].text}`;
const css = style.outputFiles[0].text;
for (const text of [js, css]) {
  if (/<\/(script|style)|<!--|\r/i.test(text)) {
    throw new Error("the bundle holds what would end its element in a page");
  }
}
await mkdir(out, { recursive: true });
await writeFile(new URL("page.js", out), js);
await writeFile(new URL("page.css", out), css);
console.log(`page.js ${(js.length / 1024).toFixed(1)} KiB, page.css ${(css.length / 1024).toFixed(1)} KiB`);
