#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# All daemons of a cluster (1 + 2 + 4) need less than 300 MiB together when idle, and do not grow without bound under load.
. "$(dirname "$0")/lib.sh"
it_begin
it_up

rss() { # KiB of all servers
	local d sum=0 kb
	for d in $(daemons); do
		[ "$d" = mount ] && continue
		kb=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(pid_of "$d")/status")
		[ -z "${1:-}" ] || say "$d $kb KiB"
		sum=$((sum + kb))
	done
	echo $sum
}

step "idle"
sleep 2
case $(nm -D "$WEFT" 2>/dev/null) in *__asan*) skip "sanitizers need memory themselves" ;; esac
rss show | sed '$d'
kb=$(rss)
say "servers idle: $((kb / 1024)) MiB"
[ $kb -lt 307200 ] || fail "idle daemons have $((kb / 1024)) MiB"

step "after some work"
for r in 1 2 3; do
	mkdir "$M/w$r"
	(cd "$M/w$r" && seq 2000 | xargs touch)
	head -c 50000000 /dev/zero >"$M/w$r/zero"
	rm -rf "$M/w$r"
	kb=$(rss)
	say "servers after round $r: $((kb / 1024)) MiB"
done
[ $kb -lt 614400 ] || fail "daemons grew to $((kb / 1024)) MiB"
kb=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(pid_of mount)/status")
say "mount: $((kb / 1024)) MiB"
[ "$kb" -lt 307200 ] || fail "the mount has $((kb / 1024)) MiB"
it_end
