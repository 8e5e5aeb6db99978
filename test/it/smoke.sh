#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A cluster comes up, stores, survives the restart of every daemon, and goes down.
. "$(dirname "$0")/lib.sh"
it_begin

tree() { # folder: what is compared
	(cd "$1" && find . -type f -exec sha256sum {} + | sort -k2 && find . ! -type f -printf '%p %y %m %l\n' | sort)
}

step "up"
it_up
mountpoint -q "$M"

step "up again changes nothing"
before=$(cat "$D"/run/*.pid)
timeout 60 "$WEFT" up --dir "$D" | grep -q 'up already'
is "$(cat "$D"/run/*.pid)" "$before" "process ids"

step "status"
weft status --json >"$T/status.json"
jq -e '.healthy == true and (.problems | length) == 0' "$T/status.json" >/dev/null
is "$(jq '.daemons | length' "$T/status.json")" 8 "daemons"
is "$(jq '[.targets[] | select(.kind == "meta")] | length' "$T/status.json")" 2 "metadata targets"
is "$(jq '[.targets[] | select(.kind == "storage")] | length' "$T/status.json")" 4 "storage targets"
jq -e 'all(.daemons[]; has("role") and has("name") and has("pid") and has("address") and .state == "online")' "$T/status.json" >/dev/null
jq -e 'all(.targets[]; has("id") and has("name") and has("capacity") and has("node") and has("uuid") and .state == "online" and
	(.total | type) == "number" and (.free | type) == "number" and .free <= .total)' "$T/status.json" >/dev/null
weft status | grep -q Healthy

step "write and read"
mkdir -p "$M/dir/sub"
head -c 5000000 /dev/urandom >"$T/big"
cp "$T/big" "$M/dir/big"
cmp "$T/big" "$M/dir/big"
for i in $(seq 200); do echo "file $i" >"$M/dir/sub/f$i"; done
ln -s ../big "$M/dir/sub/link"
ln "$M/dir/big" "$M/dir/big2"
cp -r "$IT_ROOT/test" "$M/source"
diff -r "$IT_ROOT/test" "$M/source"
tree "$M" >"$T/tree"
sync -f "$M"

step "restart each daemon"
for d in $(daemons | sort -r); do
	[ "$d" = mount ] && continue
	kill_daemon "$d" TERM
	it_again
	cmp "$T/big" "$M/dir/big"
	echo "$d" >"$M/dir/after-$d"
	is "$(cat "$M/dir/after-$d")" "$d" "file written after the restart of $d"
	rm "$M/dir/after-$d"
done
tree "$M" | cmp - "$T/tree"

step "kill each daemon"
for d in $(daemons | shuf); do
	kill_daemon "$d" KILL
	it_again
	echo "$d" >"$M/dir/after-$d"
	is "$(cat "$M/dir/after-$d")" "$d" "file written after the death of $d"
	rm "$M/dir/after-$d"
done
tree "$M" | cmp - "$T/tree"

step "down and up"
it_down
! mountpoint -q "$M"
for d in $(daemons); do
	[ ! -e "$D/run/$d.pid" ] || ! alive "$d" || fail "$d still runs"
done
it_again
tree "$M" | cmp - "$T/tree"

step "remount by hand"
weft umount "$M"
is "$(ls -A "$M")" "" "the folder beneath the mount"
it_again
tree "$M" | cmp - "$T/tree"

step "remove everything"
rm -rf "${M:?}"/*
is "$(ls -A "$M")" "" "the mount after rm -rf"
it_end

step "destroy"
"$WEFT" destroy --dir "$D" --yes >/dev/null
[ ! -e "$D" ]
