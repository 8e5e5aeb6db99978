#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Servers on one "host", the client on another: two network namespaces joined by a veth pair; over IPv4, IPv6, and through a cut.
. "$(dirname "$0")/lib.sh"
it_begin
need ip

A=weft-a-$$ B=weft-b-$$
printf '%s\n' "$A" "$B" >"$T/.netns"
ip netns add "$A" 2>/dev/null || skip "no network namespaces here"
ip netns add "$B"
ip -n "$A" link add veth0 type veth peer name veth0 netns "$B" || skip "no veth here"
for n in "$A" "$B"; do
	ip -n "$n" link set lo up
	ip -n "$n" link set veth0 up
done
ip -n "$A" addr add 10.91.0.1/24 dev veth0
ip -n "$B" addr add 10.91.0.2/24 dev veth0
ip -n "$A" addr add fd91::1/64 dev veth0 nodad
ip -n "$B" addr add fd91::2/64 dev veth0 nodad

# nsenter keeps the mounts visible here, unlike `ip netns exec`.
on() { nsenter --net="/run/netns/$1" "${@:2}"; }

step "servers in one namespace"
on "$A" timeout -k 5 180 "$WEFT" up --dir "$D" --no-mount --host 10.91.0.1 >"$T/up.out"
# Sockets in the file system would be a way around the network.
on "$A" "$WEFT" down --dir "$D" >>"$T/up.out"
jq 'del(.daemons[].unix)' "$D/cluster.json" >"$T/cluster.json"
cp "$T/cluster.json" "$D/cluster.json"
sed -i 's/^mgmtd = unix:[^,]*, /mgmtd = /' "$D/weft.conf"
on "$A" timeout -k 5 180 "$WEFT" up --dir "$D" --no-mount >>"$T/up.out"
port=$(jq -r '.daemons[] | select(.name == "mgmtd") | .tcp' "$D/cluster.json" | sed 's/.*://')

mount_from() { # namespace, address of mgmtd, path
	mkdir -p "$3"
	sed "s,^mgmtd = .*,mgmtd = $2," "$D/weft.conf" >"$T/client.conf"
	nsenter --net="/run/netns/$1" "$WEFT" mount --config "$T/client.conf" --foreground "$3" >>"$T/mount.log" 2>&1 &
	IT_MOUNTS+=("$3")
	eventually 30 mountpoint -q "$3"
}

step "a client in the other"
mount_from "$B" "tcp:10.91.0.1:$port" "$T/far"
mount_from "$A" "tcp:10.91.0.1:$port" "$T/near"
head -c 20000000 /dev/urandom >"$T/data"
cp "$T/data" "$T/far/data"
cmp "$T/data" "$T/near/data"
cp -r "$IT_ROOT/test" "$T/near/tree"
diff -r "$IT_ROOT/test" "$T/far/tree"
weft2 node list >/dev/null 2>&1 || on "$A" "$WEFT" node list --dir "$D" | grep -qi mount

step "the cable is pulled and put back"
ip -n "$B" link set veth0 down
(sleep 3 && ip -n "$B" link set veth0 up) &
t0=$(date +%s%N)
timeout 120 cmp "$T/data" "$T/far/data"
echo after >"$T/far/after"
ms=$((($(date +%s%N) - t0) / 1000000))
say "went on after $ms ms"
[ $ms -gt 1500 ] || fail "the cut was not noticed: is there another way to the servers?"
is "$(cat "$T/near/after")" after "file written after the cut"
wait %% || true

step "IPv6"
ip -n "$B" addr replace fd91::2/64 dev veth0 nodad # went with the cable
umount "$T/far" "$T/near"
IT_MOUNTS=()
on "$A" "$WEFT" down --dir "$D" >>"$T/up.out"
sed -i 's,tcp:10.91.0.1:,tcp:[fd91::1]:,g' "$D/cluster.json" "$D/weft.conf"
on "$A" timeout -k 5 180 "$WEFT" up --dir "$D" --no-mount >>"$T/up.out"
mount_from "$B" "tcp:[fd91::1]:$port" "$T/far"
cmp "$T/data" "$T/far/data"
echo six >"$T/far/six"
is "$(cat "$T/far/six")" six "a file over IPv6"
umount "$T/far"
IT_MOUNTS=()
it_logs_clean
on "$A" "$WEFT" down --dir "$D" >>"$T/up.out"
it_wait
