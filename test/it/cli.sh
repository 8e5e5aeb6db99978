#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Every verb of the command once, and its errors: each says what is wrong.
. "$(dirname "$0")/lib.sh"
it_begin

step "without a cluster"
refused 'no cluster' "$WEFT" down --dir "$T/none"
refused 'no cluster|cannot|which' "$WEFT" status --dir "$T/none"
refused 'unknown verb' "$WEFT" nonsense
refused 'unknown option' "$WEFT" up --nonsense
refused 'number' "$WEFT" up --dir "$T/x" --meta many
refused '1 to 64' "$WEFT" up --dir "$T/x" --meta 0 --no-mount
refused 'disk or mem' "$WEFT" up --dir "$T/x" --backend paper --no-mount
refused 'usage' "$WEFT" mount
"$WEFT" help | grep -q 'weft up'
"$WEFT" --help | grep -q setstripe
"$WEFT" help up | grep -q -- --storage
"$WEFT" up --help | grep -q -- --storage
"$WEFT" version | grep -q protocol
"$WEFT" version --json | jq -e .protocol >/dev/null
"$WEFT" completion bash | bash -n

step "a full disk"
mkdir "$T/full"
mount -t tmpfs -o size=20m none "$T/full"
refused 'full|space' "$WEFT" up --dir "$T/full/c" --no-mount

step "a folder that cannot be made"
refused 'folder' "$WEFT" up --dir /proc/weft/c --no-mount

step "up"
it_up --meta 2 --storage 3

step "a port in use"
mkdir "$T/c2"
"$WEFT" up --dir "$T/c2" --no-mount --meta 1 --storage 1 >/dev/null
"$WEFT" down --dir "$T/c2" >/dev/null
port=$(jq -r '.daemons[] | select(.name == "mgmtd") | .tcp' "$T/c2/cluster.json" | sed 's/.*://')
python3 - "$port" <<-'END' &
	import socket, sys, time
	s = socket.socket()
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	s.bind(("127.0.0.1", int(sys.argv[1])))
	s.listen()
	time.sleep(60)
END
holder=$!
eventually 5 bash -c "ss -Hltn | grep -q ':$port '"
refused 'in use|another process' "$WEFT" up --dir "$T/c2" --no-mount
kill $holder
wait $holder || true
eventually 20 "$WEFT" up --dir "$T/c2" --no-mount
"$WEFT" destroy --dir "$T/c2" --yes >/dev/null

step "destroy needs --yes"
refused '[-]-yes' "$WEFT" destroy --dir "$D"

step "listings"
is "$(weft2 node list --json | jq '[.[] | select(.role == "meta" or .role == "storage")] | length')" 5 "servers"
eventually 10 bash -c "'$WEFT' node list --dir '$D' --json | jq -e '.[] | select(.role == \"mount\")'"
weft2 node list | grep -q storage1
is "$(weft2 target list --json | jq length)" 5 "targets"
weft2 target list | grep -q ONLINE -i
is "$(weft df --json | jq '[.[] | select(.kind == "storage")] | length')" 3 "df rows"
weft df | grep -q storage
weft config | grep -q mgmtd
weft2 node list --json | jq -e '.[] | select(.role == "mgmtd") | .id == 0 and .pid > 0 and (.addresses | length) > 0' >/dev/null
weft status --json | jq -e '[.daemons[] | select(.role == "mount")] | length == 1 and (.[0].transport | test("classic|io_uring"))' >/dev/null
weft status | grep -E '^mount .* (classic|io_uring) ' >/dev/null
refused 'Say one of' "$WEFT" target
id=$(weft2 node list --json | jq -r '.[] | select(.role == "storage") | .id' | head -1)
weft2 node show "$id" --json | jq -e .pid >/dev/null
weft2 node show "$id" | grep -q uuid
weft2 target show storage:1 --json | jq -e '.kind == "storage" and .id == 1' >/dev/null
weft2 target show meta:0 | grep -q capacity
refused "no target 'nonsense'" "$WEFT" target show nonsense --dir "$D"
refused "no node" "$WEFT" node show nonsense --dir "$D"

step "aliases"
weft2 target alias storage:2 fast-disk
weft2 target show fast-disk --json | jq -e '.id == 2' >/dev/null
weft2 node alias "$id" machine-one
weft2 node show machine-one --json | jq -e ".id == $id" >/dev/null
refused 'name|alias|exists|taken|use' "$WEFT" target alias storage:1 fast-disk --dir "$D"

step "pools"
weft2 pool create gold
refused 'exist|name|alias' "$WEFT" pool create gold --dir "$D"
weft2 pool assign gold storage:2 storage:3
weft2 pool list --json | jq -e '.[] | select(.name == "gold") | .targets == 2' >/dev/null
weft2 pool alias gold silver
refused 'silver.* still has the targets fast-disk storage3: .*weft pool assign default' "$WEFT" pool delete silver --dir "$D"
refused 'always exists' "$WEFT" pool delete default --dir "$D"
refused 'cannot be a name' "$WEFT" pool create 'a b' --dir "$D"
refused 'no pool|pool' "$WEFT" pool delete nonsense --dir "$D"
other=$(weft2 pool list --json | jq -r '.[] | select(.name != "silver") | .name' | head -1)
weft2 pool assign "$other" storage:2 storage:3
weft2 pool delete silver
is "$(weft2 pool list --json | jq '[.[] | select(.name == "silver")] | length')" 0 "the deleted pool"

step "drain and resume"
weft2 target drain storage:1
weft2 target show storage:1 --json | jq -e '.state == "draining"' >/dev/null
weft status >/dev/null
sleep 0.5
for i in $(seq 12); do echo "$i" >"$M/drained.$i"; done
for i in $(seq 12); do
	weft stat --json "$M/drained.$i" | jq -e '[.. | .target? // empty] | all(. != 1)' >/dev/null || fail "a new file on a draining target"
done
weft2 target resume storage:1
weft2 target show storage:1 --json | jq -e '.state == "online"' >/dev/null
refused 'storage1 is in use: node machine-one .*serves it.*drain' "$WEFT" target remove storage:1 --dir "$D"
refused 'root directory' "$WEFT" target remove meta:0 --dir "$D"
refused 'still has targets: storage1' "$WEFT" node remove machine-one --dir "$D"
refused 'management daemon itself' "$WEFT" node remove mgmtd --dir "$D"

step "registration"
"$WEFT" registration lock --dir "$D"
"$WEFT" registration unlock --dir "$D"
refused 'usage' "$WEFT" registration nonsense --dir "$D"

step "paths"
echo text >"$M/f"
mkdir "$M/d"
weft stat "$M/f" | grep -q FID
weft stat --json "$M/f" "$M/d" | jq -e 'length == 2 and .[0].fid and .[1].type == "directory"' >/dev/null
"$WEFT" layout get --dir "$D" "$M/f" >/dev/null
weft getstripe "$M/d" >/dev/null
weft sync "$M"
refused 'not on a Weft' "$WEFT" stat /etc/passwd
refused 'No such file' "$WEFT" stat "$M/none"
refused 'not on a Weft|No such' "$WEFT" sync /tmp
refused 'no pool .nope.' "$WEFT" setstripe -p nope "$M/d"
refused 'multiple of 64K' "$WEFT" setstripe -S 1000 "$M/d"
refused 'already' "$WEFT" mount --dir "$D" "$M"

step "down with open files"
exec 9>"$M/open"
refused 'in use' "$WEFT" down --dir "$D"
refused "pid $$|bash" "$WEFT" umount --dir "$D" "$M"
mountpoint -q "$M"
echo still >&9
exec 9>&-
is "$(cat "$M/open")" still "file that was open"
it_healthy

step "wrong secret"
mkdir "$T/m2"
sed "s,$D/secret,$T/wrong," "$D/weft.conf" >"$T/wrong.conf"
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$T/wrong"
chmod 600 "$T/wrong"
refused 'secret' "$WEFT" mount --config "$T/wrong.conf" "$T/m2"
! mountpoint -q "$T/m2"
sed "s,$D/server-secret,$T/wrong," "$D/weft.conf" >"$T/wrong2.conf"
refused 'secret' "$WEFT" node list --config "$T/wrong2.conf"
it_healthy

step "what is down is told"
kill_daemon storage2
rc=0
weft status >"$T/out" || rc=$?
is $rc 1 "exit status of weft status"
grep -q 'storage2 is down' "$T/out"
it_again
eventually 20 "$WEFT" status --dir "$D"

step "a mount says whom it waits for"
mkdir -p "$T/m3"
kill_daemon meta0
refused 'cannot reach target meta0 of node meta0 on host .*start weft-meta' "$WEFT" mount --dir "$D" -o op-timeout=2s "$T/m3"
kill_daemon mgmtd
refused 'cannot reach the management daemon at .*is weft-mgmtd running' "$WEFT" mount --dir "$D" -o op-timeout=2s "$T/m3"
refused 'is weft-mgmtd running' "$WEFT" node list --dir "$D"
"$WEFT" mount --dir "$D" "$T/m3" 2>/dev/null &
sleep 0.5
kill $!
wait $! || true
it_again
sleep 0.5
! mountpoint -q "$T/m3"
eventually 20 "$WEFT" status --dir "$D"

step "down with force, a program inside"
tail -f "$M/f" >/dev/null &
it_down --force
kill %% 2>/dev/null || true
! mountpoint -q "$M"
it_again
is "$(cat "$M/f")" text "the file after down --force"
it_end
