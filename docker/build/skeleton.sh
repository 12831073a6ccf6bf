#!/bin/sh
# Gives every manifest below this folder empty sources, so that the dependencies can be built in a layer of their own: it stays
# valid until a manifest or the lock file changes.
set -eu

find . -name Cargo.toml -not -path './target/*' -not -path './docker/*' | while read -r manifest; do
    folder=$(dirname "$manifest")
    grep -q '^\[package\]' "$manifest" || continue
    mkdir -p "$folder/src"
    : > "$folder/src/lib.rs"
    echo 'fn main() {}' > "$folder/src/main.rs"
    # Targets that have a section of their own.
    awk '
        /^\[\[(bin|bench|test|example)\]\]/ { kind = $0; gsub(/[\[\]]/, "", kind); name = ""; next }
        /^\[/ { kind = "" }
        kind != "" && /^path *=/ { gsub(/^path *= *"|".*$/, ""); print; kind = "" }
        kind != "" && /^name *=/ { gsub(/^name *= *"|".*$/, ""); dir = kind == "bin" ? "src/bin" : kind == "bench" ? "benches" : kind "s"; print dir "/" $0 ".rs" }
    ' "$manifest" | while read -r target; do
        mkdir -p "$folder/$(dirname "$target")"
        [ -e "$folder/$target" ] || echo 'fn main() {}' > "$folder/$target"
    done
done
