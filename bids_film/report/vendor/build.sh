#!/usr/bin/env bash
# Makes the libraries of this folder again from their npm packages (needs npm and a network).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$here/bundle.mjs" "$work"
cd "$work"
npm install --silent --no-fund --no-audit
node bundle.mjs
gzip -9n < niivue.min.js > "$here/niivue.min.js.gz"
# Without the maps that they name: a page must not ask for a file.
for pair in "tabulator-tables/dist/js/tabulator.min.js tabulator.min.js" \
            "tabulator-tables/dist/css/tabulator_simple.min.css tabulator.min.css" \
            "chart.js/dist/chart.umd.min.js chart.min.js"; do
  read -r from to <<< "$pair"
  sed -E 's@(//|/\*)# sourceMappingURL=[^ ]*( \*/)?@@' "node_modules/$from" > "$here/$to"
done
: > "$here/LICENSES.txt"
for package in @niivue/niivue gl-matrix nifti-reader-js fflate @lukeed/uuid @ungap/structured-clone array-equal \
               tabulator-tables chart.js @kurkle/color; do
  {
    echo "== $package $(node -p "require('./node_modules/$package/package.json').version")"
    echo
    text=$(find "node_modules/$package" -maxdepth 1 -iname 'licen[sc]e*' | head -n 1)
    # The package of NiiVue names its licence without its text.
    if [ -n "$text" ]; then cat "$text"; else cat "$here/niivue.license"; fi
    echo
  } >> "$here/LICENSES.txt"
done
