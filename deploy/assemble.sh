#!/bin/sh
# Lays the program out as it stands in the images: assemble.sh SOURCE ROOT
# Dependencies are those of package-lock.json, checked by its checksums; none of their scripts runs.
set -eu
source=$1
root=$2
program=$root/opt/firebreak
parts='crds policy xds sidecar operator cli'

mkdir -p "$program" "$root/usr/local/bin"
cp "$source/package.json" "$source/package-lock.json" "$program"
for part in $parts; do cp -R "$source/$part" "$program"; done
# tests, and what they read, are no part of the program
find "$program" \( -name '*.test.ts' -o -name '*.test-child.ts' -o -name testdata -o -name node_modules \) -prune -exec rm -rf {} +

cd "$program"
npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
  $(for part in $parts; do echo "--workspace=@firebreak/$part"; done)
# only firebreak test needs a PostgreSQL
rm -rf node_modules/@electric-sql
install -m 0755 "$(node -p process.execPath)" "$root/usr/local/bin/node"
ln -s ../../../opt/firebreak/cli/main.ts "$root/usr/local/bin/firebreak"

# what Node compiles at each start is compiled here, once: a pod of an agent waits for it
export NODE_COMPILE_CACHE="$program/compile-cache" NODE_COMPILE_CACHE_PORTABLE=1 PATH="$root/usr/local/bin:$PATH"
for command in contain sidecar operator; do firebreak "$command" --help > /dev/null; done
chmod -R a+rX,go-w "$program"
