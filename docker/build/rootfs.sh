#!/bin/sh
# rootfs.sh ROOT UID PROGRAM…: puts the built programs, the user they run as and their folders under ROOT, which becomes the image's.
set -eu

root=$1
uid=$2
shift 2
mkdir -p "$root/usr/local/bin" "$root/etc" "$root/work" "$root/models" "$root/data" "$root/outputs"
for program in "$@"; do
    cp "$CARGO_TARGET_DIR/release/$program" "$root/usr/local/bin/"
done
# The base has no user of this number, and programs ask for its name and home.
printf 'root:x:0:0:root:/root:/sbin/nologin\nvlm:x:%s:%s:vlm:/work:/sbin/nologin\n' "$uid" "$uid" > "$root/etc/passwd"
printf 'root:x:0:\nvlm:x:%s:\n' "$uid" > "$root/etc/group"
# Any user of group 0 may write, as some clusters choose users at random.
chown -R "$uid:0" "$root/work" "$root/models" "$root/data" "$root/outputs"
chmod -R g=u "$root/work" "$root/models" "$root/data" "$root/outputs"
