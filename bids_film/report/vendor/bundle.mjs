// Bundles NiiVue from the sources in its package, without the reader of Zarr and its decoders.
import { build } from "esbuild";

const leftOut = {
  name: "left-out",
  setup(bundler) {
    bundler.onResolve({ filter: /^(zarrita|@zarrita\/.*|numcodecs.*)$/ }, (found) => ({
      path: found.path,
      namespace: "left-out",
    }));
    bundler.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "module.exports = {}" }));
  },
};
await build({
  stdin: {
    contents: 'export { Niivue, NVImage } from "@/niivue/index.ts";',
    resolveDir: ".",
  },
  alias: { "@": "./node_modules/@niivue/niivue/src" },
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "niivue",
  loader: { ".png": "dataurl", ".jpg": "dataurl" },
  plugins: [leftOut],
  target: "es2022",
  outfile: "niivue.min.js",
  logLevel: "warning",
});
