#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A target is its folder: moved to another place and served by another daemon at another address, its files read back.
. "$(dirname "$0")/lib.sh"
it_begin
it_up --meta 2 --storage 2

step "files"
head -c 6000000 /dev/urandom >"$T/data"
for i in $(seq 20); do
	mkdir "$M/d$i"
	cp "$T/data" "$M/d$i/file"
done

# The cluster file is what tells `weft up` where a target is and where it listens.
move() { # name
	local port
	port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	kill_daemon "$1" TERM
	mkdir -p "$T/elsewhere"
	mv "$D/$1" "$T/elsewhere/$1"
	jq "(.daemons[] | select(.name == \"$1\")) |= (.dir = \"$T/elsewhere/$1\" | .tcp = \"tcp:127.0.0.1:$port\" | del(.unix))" \
		"$D/cluster.json" >"$T/cluster.json"
	cp "$T/cluster.json" "$D/cluster.json"
}

step "move a storage target"
cat "$M/d1/file" >/dev/null
move storage1
it_again
for i in $(seq 20); do timeout 60 cmp "$T/data" "$M/d$i/file"; done

step "move a metadata target"
move meta1
it_again
for i in $(seq 20); do timeout 60 cmp "$T/data" "$M/d$i/file"; done
mkdir "$M/d1/new"

step "remount"
weft umount "$M"
it_again
for i in $(seq 20); do cmp "$T/data" "$M/d$i/file"; done
[ -d "$M/d1/new" ]

step "a folder serves one daemon at a time"
cp -r "$D" "$T/copy"
dir=$T/elsewhere/storage1
refused 'lock|use|another' timeout 20 "$(dirname "$WEFT")/../storage/weft-storage" --config "$D/weft.conf" --target "$dir" --listen tcp:127.0.0.1:0
rm -rf "$T/copy"

step "a folder of another cluster is refused"
D2=$T/c2
"$WEFT" up --dir "$D2" --no-mount --meta 1 --storage 1 >/dev/null
"$WEFT" down --dir "$D2" >/dev/null
refused 'cluster' timeout 20 "$(dirname "$WEFT")/../storage/weft-storage" --config "$D/weft.conf" --target "$D2/storage1" --listen tcp:127.0.0.1:0
"$WEFT" destroy --dir "$D2" --yes >/dev/null
it_end
