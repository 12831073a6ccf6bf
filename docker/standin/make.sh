#!/usr/bin/env bash
# Makes base images out of Debian packages and this machine's Rust, for machines that reach no image registry:
#
#     docker/standin/make.sh [debian] [cc] [rust]
#
# They are vlm-standin/debian, vlm-standin/cc (no shell, for programs alone) and vlm-standin/rust, to be named as BUILD_IMAGE and
# RUNTIME_IMAGE. Needed: docker, mmdebstrap, and for rust a toolchain. Debian's mirror is apt's usual one, or DEBIAN_MIRROR.
set -euo pipefail

readonly SUITE=bookworm
readonly COMMON='ca-certificates'

need() {
    command -v "$1" > /dev/null || { echo "error: $1 is needed: $2" >&2; exit 2; }
}

# mmdebstrap VARIANT PACKAGES [OPTIONS…], as a tar file on standard output.
bootstrap() {
    local variant=$1 packages=$2
    shift 2
    mmdebstrap --quiet --variant="$variant" --include="$packages" "$@" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$SUITE" - ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
}

debian() {
    bootstrap minbase "$COMMON" | docker import --change 'CMD ["bash"]' - vlm-standin/debian:$SUITE
}

# What a Rust program needs and nothing else. Packages are only unpacked, so what their scripts would write is written here.
# shellcheck disable=SC2016 # mmdebstrap gives its hooks the folder as $1.
cc() {
    bootstrap extract "base-files,netbase,tzdata,libc6,libgcc-s1,libstdc++6,libgomp1,$COMMON" \
        --customize-hook='cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1"/etc/ssl/certs/ca-certificates.crt' \
        --customize-hook='printf "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n" > "$1"/etc/passwd' \
        --customize-hook='printf "root:x:0:\nnonroot:x:65532:\n" > "$1"/etc/group' \
        --customize-hook='rm -rf "$1"/usr/bin "$1"/usr/sbin "$1"/usr/share/ca-certificates "$1"/usr/share/perl5 "$1"/var/lib/apt "$1"/var/cache' \
        | docker import - vlm-standin/cc:$SUITE
}

rust() {
    need rustc 'install Rust 1.95 or newer'
    local sysroot scratch
    sysroot=$(rustc --print sysroot)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' RETURN
    cat > "$scratch/Dockerfile" << DOCKER
FROM vlm-standin/debian:$SUITE
RUN apt-get update \\
 && apt-get install -y --no-install-recommends build-essential pkg-config \\
 && rm -rf /var/lib/apt/lists/*
COPY rust /usr/local/rust
ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/usr/local/cargo
DOCKER
    tar -c --exclude=share/doc --exclude=share/man \
        -C "$scratch" Dockerfile \
        -C "$sysroot" --transform='s,^\(bin\|lib\|libexec\|share\),rust/\1,' bin lib libexec share \
        | docker build -q -t vlm-standin/rust:1.95-$SUITE -
}

need docker 'install docker.io'
need mmdebstrap 'apt-get install mmdebstrap'
for base in "${@:-debian cc rust}"; do
    for one in $base; do
        case $one in
            debian | cc | rust) echo "$one"; "$one" ;;
            *) echo "error: there is no stand-in $one; debian, cc, rust" >&2; exit 2 ;;
        esac
    done
done
