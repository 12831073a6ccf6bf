#!/usr/bin/env bash
# Puts the sources of all crates under docker/vendor, so that images are built without a network:
#
#     docker/standin/vendor.sh && docker build --network none -f docker/Dockerfile.cpu .
#
# Needed: cargo, and a network or a filled cache of crates. `rm -r docker/vendor/crates docker/vendor/config.toml` undoes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

rm -rf docker/vendor/crates
cargo vendor --locked --versioned-dirs docker/vendor/crates > docker/vendor/config.toml

# Crates of other systems are looked at by cargo and never compiled: their manifests are enough, and the context is a third as large.
empty() {
    local crate=$1
    find "$crate" -mindepth 1 -maxdepth 1 -not -name Cargo.toml -not -name .cargo-checksum.json -exec rm -rf {} +
    mkdir -p "$crate/src"
    : > "$crate/src/lib.rs"
    sed -i 's/"files":{[^}]*}/"files":{}/' "$crate/.cargo-checksum.json"
}
for crate in docker/vendor/crates/{winapi,windows,wasi,wasm,web-sys,js-sys,hermit,redox}*; do
    [ -d "$crate" ] && empty "$crate"
done
du -sh docker/vendor/crates
