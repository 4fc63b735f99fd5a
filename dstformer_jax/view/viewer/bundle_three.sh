#!/usr/bin/env bash
# Remakes three.bundle.js, the part of three.js that the page uses, as one classic script that sets
# the global THREE (ES modules cannot be loaded from file://). Needs npm and a network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
three=0.187.0
esbuild=0.28.2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund --no-save "three@$three" "esbuild@$esbuild"
cp "$here/three_entry.js" entry.js
npx esbuild entry.js --bundle --minify --format=iife --global-name=THREE --target=es2020 \
  --legal-comments=none --banner:js="/* three.js $three, MIT licence, (c) three.js authors */" \
  --outfile="$here/three.bundle.js"
cp node_modules/three/LICENSE "$here/three.LICENSE.txt"
